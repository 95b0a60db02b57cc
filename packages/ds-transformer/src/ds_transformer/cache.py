"""KeyValueCache: what attention remembers while a text is generated position by position."""

from __future__ import annotations

import copy
from typing import Self

from ds_core.checks import check_whole, shape
from torch import Tensor

__all__ = ["GrowingCache", "KeyValueCache", "StaticCache"]


class KeyValueCache:
    """Keeps keys and values of past positions, so that a new token costs one position and not all.

    Base of the caches, which differ in how much memory they take: :class:`GrowingCache` and
    :class:`StaticCache`. Each layer of attention has its own.

    Attributes:
        length: how many positions are held.
    """

    def __init__(self) -> None:
        self.length = 0
        self._memory: tuple[Tensor, Tensor] | None = None  # keys, values: (..., room, D) each

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Appends new positions and returns all so far.

        What is returned are views: they stay as they are, whatever comes later.

        Args:
            key: ``(..., T, D)``, as ``(N, H, T, D)``.
            value: ``(..., T, E)``, as many as the keys.

        Returns:
            Keys ``(..., S, D)`` and values ``(..., S, E)``, with S = positions so far, T included.

        Raises:
            ValueError: if they do not fit each other, or what is held (another batch size, say), or the
                capacity.
            TypeError: if they have another dtype than what is held.
        """
        self._check(key, value)
        end = self.length + key.shape[-2]
        held = 0 if self._memory is None else self._memory[0].shape[-2]
        room = self._room(end, held)
        if self._memory is None or room > held:
            self._memory = self._larger(0, key, room), self._larger(1, value, room)
        keys, values = self._memory
        keys[..., self.length : end, :] = key
        values[..., self.length : end, :] = value
        self.length = end
        return self.held()

    def held(self) -> tuple[Tensor, Tensor]:
        """Returns all keys and values so far, as :meth:`extend` does.

        Raises:
            RuntimeError: if there are none yet.
        """
        if self._memory is None:
            raise RuntimeError(f"{self!r}: nothing is held yet; extend it first")
        keys, values = self._memory
        return keys[..., : self.length, :], values[..., : self.length, :]

    def reorder(self, index: Tensor) -> Self:
        """Returns a new cache of some of the rows, for beam search; this one stays as it is.

        Args:
            index: which row of dimension 0 each new row takes, ``(rows,)`` int64. Rows may come twice or
                not at all.
        """
        other = copy.copy(self)
        if self._memory is not None:
            keys, values = self._memory
            other._memory = keys.index_select(0, index), values.index_select(0, index)
        return other

    def _room(self, needed: int, held: int) -> int:
        """Says how many positions the memory is to have, given how many are needed and how many it has."""
        raise NotImplementedError(f"{type(self).__name__} does not say how much room it takes")

    def _larger(self, which: int, new: Tensor, room: int) -> Tensor:
        """Returns memory for keys (0) or values (1) like ``new``, and moves there what is held."""
        memory = new.new_empty(*new.shape[:-2], room, new.shape[-1])
        if self._memory is not None:
            memory[..., : self.length, :] = self._memory[which][..., : self.length, :]
        return memory

    def _check(self, key: Tensor, value: Tensor) -> None:
        if key.dim() < 2 or key.shape[:-1] != value.shape[:-1]:
            raise ValueError(
                f"{self!r}: expected keys (..., T, D) and as many values, got {shape(key)} and {shape(value)}"
            )
        memory = (key, value) if self._memory is None else self._memory
        if any(new.dtype != memory[0].dtype for new in (key, value)):
            raise TypeError(
                f"{self!r}: expected keys and values of {memory[0].dtype}, got {key.dtype} and {value.dtype}"
            )
        if [_without_length(t) for t in (key, value)] != [_without_length(t) for t in memory]:
            keys, values = (str(_without_length(t)).replace("-1", "T") for t in memory)
            raise ValueError(
                f"{self!r}: expected keys {keys} and values {values} like those before, "
                f"got {shape(key)} and {shape(value)}"
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class GrowingCache(KeyValueCache):
    """Takes as much memory as it needs, and twice that whenever it is full.

    So all the moving together copies each position about once, however long the text becomes.
    """

    def _room(self, needed: int, held: int) -> int:
        return held if needed <= held else max(needed, 2 * held)


class StaticCache(KeyValueCache):
    """Takes all its memory at the first use, and never more.

    Args:
        capacity: how many positions fit.

    Raises:
        ValueError: if the capacity is less than 1, or more positions come than fit.
        TypeError: if it is not a whole number.
    """

    def __init__(self, capacity: int) -> None:
        check_whole("StaticCache", capacity=capacity)
        super().__init__()
        self.capacity = capacity

    def _room(self, needed: int, held: int) -> int:
        if needed > self.capacity:
            raise ValueError(f"{self!r}: expected at most {self.capacity} positions, got {needed}")
        return self.capacity

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.capacity})"


def _without_length(x: Tensor) -> tuple[int, ...]:
    """Returns the shape with -1 for the positions, of which there may be any number."""
    return (*x.shape[:-2], -1, x.shape[-1])
