"""Batches: data of any kind, walked epoch after epoch, with a position that can be saved and gone back to.

Anything that can be iterated gives batches. If it has ``state_dict`` and ``load_state_dict``, these tell and
set the position: the state taken after a batch makes the next iteration begin with the batch after it. Of
anything else the position is a count, and the way back is to skip as many batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import count, cycle, islice, repeat
from operator import length_hint
from typing import Any

import torch
from torch import Tensor

from ds_core.data.dataset import Dataset
from ds_core.data.fingerprint import fingerprint
from ds_core.data.loader import DataLoader
from ds_core.random_state import kept_random_state, random_state, set_random_state

# The inputs of the model, then the target of the loss.
Batch = Sequence[Any]


class Batches:
    """Walks data epoch after epoch, and knows where it is.

    Args:
        data: anything that can be iterated.
        world: whether the order may come from the global random generators, to be drawn anew when going back.
    """

    def __init__(self, data: Iterable[Batch], world: bool = True) -> None:
        self.data: Any = data
        self.world = world
        self.batch = 0  # how many of this epoch have been given out
        self._skip = 0  # how many to pass over to get back to a position
        self._stateful = has_position(data)
        self._epoch_start: dict[str, Any] = {}

    def groups(self, size: int) -> Iterator[list[Batch]]:
        """Yields the rest of the epoch, ``size`` batches at a time; the last group may have fewer.

        Raises:
            ValueError: if the epoch has no batch at all.
            TypeError: if a batch is not inputs and a target.
        """
        batches = self._rest()
        while group := [_checked(batch) for batch in islice(batches, size)]:
            self.batch += len(group)
            yield group
        if self.batch == 0:
            raise ValueError(
                "data: expected at least one batch in every epoch, got none; what can be walked only once, "
                "such as a generator, should be a list or a loader"
            )
        self.batch = 0

    def steps(self, size: int) -> int | None:
        """Counts the groups of an epoch; None if the data does not know its length."""
        try:
            return -(-len(self.data) // size)
        except TypeError:
            return None

    def _rest(self) -> Iterator[Batch]:
        """Iterates from the present position."""
        if self._stateful:
            return iter(self.data)
        if not self._skip:
            self._epoch_start = random_state(world=self.world)
            return iter(self.data)
        with kept_random_state(world=self.world):
            set_random_state(self._epoch_start, world=self.world)
            batches = iter(self.data)
            for _ in islice(batches, self._skip):
                pass
        self._skip = 0
        return batches

    @cached_property
    def fingerprint(self) -> str | None:
        """What tells these data from others; None if nothing does."""
        return fingerprint_of(self.data)

    def state_dict(self) -> dict[str, Any]:
        """Returns the position after the latest group."""
        if self._stateful:
            return {"batch": self.batch, "data": self.data.state_dict()}
        return {"batch": self.batch, "epoch_start": self._epoch_start}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes to a position."""
        self.batch = state["batch"]
        if self._stateful:
            self.data.load_state_dict(state["data"])
        else:
            self._skip = self.batch
            self._epoch_start = state["epoch_start"]


def as_batches(
    data: tuple[Any, ...], batch_size: int | None, shuffle: bool = False, seed: int = 0
) -> Iterable[Batch]:
    """Turns data of any kind into an iterable of batches.

    Args:
        data: inputs and target as tensors, ``(x, y)`` or ``(x1, x2, y)`` or ``((x1, x2), y)``; or one thing:
            a tuple of these, a :class:`Dataset`, or any iterable of batches.
        batch_size: of tensors, as are the next two; an iterable has its own. See :class:`DataLoader`.
        shuffle: whether each epoch has its own order.
        seed: of these orders.

    Raises:
        TypeError: if it is neither.
    """
    several = data
    if len(data) == 1 and isinstance(data[0], (tuple, Dataset)):
        several = data[0].tensors if isinstance(data[0], Dataset) else data[0]
    flat = [t for item in several for t in (item if isinstance(item, tuple) else (item,))]
    if len(several) > 1 and isinstance(several[-1], Tensor) and all(isinstance(t, Tensor) for t in flat):
        several_batches = batch_size is not None and batch_size < flat[0].shape[:1].numel()
        return DataLoader(*flat, batch_size=batch_size, shuffle=shuffle and several_batches, seed=seed)
    if len(data) == 1 and isinstance(data[0], Iterable) and not hasattr(data[0], "__array__"):
        return data[0]
    got = ", ".join(type(item).__name__ for item in several) or "nothing"
    if any(hasattr(item, "__array__") and not isinstance(item, Tensor) for item in several):
        advice = "; convert arrays with torch.as_tensor"
    else:
        advice = "; validation data go to validation=" if len(data) == 2 else ""
    raise TypeError(
        f"data: expected tensors (the inputs, then the target) or one iterable of batches, got {got}{advice}"
    )


def fingerprint_of(data: Any) -> str | None:
    """Returns the fingerprint of a list of tensors, or of data that have one; None for others."""
    if hasattr(data, "fingerprint"):
        made: str | None = data.fingerprint()
        return made
    return fingerprint(_tensors(data)) if isinstance(data, (list, tuple)) else None


def check_ends(data: Any, epochs: int, advice: str) -> None:
    """Checks that data come to an end, as often as they are walked through, as far as that can be seen.

    Raises:
        ValueError: if they are endless, as :class:`ds_core.text.RandomWindows` says of itself, or can be
            walked through only once.
    """
    name = type(data).__name__
    repeats = isinstance(data, repeat) and length_hint(data, 0) == 0
    if getattr(data, "endless", False) or isinstance(data, (count, cycle)) or repeats:
        raise ValueError(f"data: expected batches that come to an end, got an endless {name}; {advice}")
    if epochs > 1 and isinstance(data, Iterator):
        raise ValueError(
            f"data: expected what can be walked {epochs} times, got {name}, which can be walked only once; "
            "give a list or a loader"
        )


def has_position(data: Any) -> bool:
    """Says whether data can tell where they are and go there."""
    return hasattr(data, "state_dict") and hasattr(data, "load_state_dict")


def _checked(batch: Any) -> Batch:
    if hasattr(batch, "inputs_and_target"):
        batch = batch.inputs_and_target()
    if isinstance(batch, (tuple, list)) and len(batch) > 1:
        return batch
    raise TypeError(
        "data: expected each batch to be a tuple of inputs and target, got "
        + (f"one of {len(batch)}" if isinstance(batch, (tuple, list)) else type(batch).__name__)
    )


def samples(batch: Any) -> int:
    """Counts the samples of a batch: the length of the first tensor in it; 1 if there is none."""
    return next((len(tensor) for tensor in _tensors(batch) if tensor.dim()), 1)


def count_items(batches: Sequence[Batch]) -> tuple[int, str]:
    """Counts what speed is measured in: tokens, where the input is sequences of integers, else samples."""
    first = next(_tensors(batches[0]), None)
    if first is not None and first.dim() == 2 and not first.is_floating_point():
        return sum(next(_tensors(batch)).numel() for batch in batches), "tokens"
    return sum(samples(batch) for batch in batches), "samples"


def all_finite(batch: Batch) -> bool:
    """Says whether no tensor in a batch holds NaN or infinity."""
    return all(bool(tensor.isfinite().all()) for tensor in _tensors(batch))


def to_device(value: Any, device: torch.device) -> Any:
    """Moves the tensors in a batch, however nested."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, (tuple, list)):
        moved = [to_device(item, device) for item in value]
        return moved if isinstance(value, list) else tuple(moved)
    if isinstance(value, dict):
        return {key: to_device(item, device) for key, item in value.items()}
    return value


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item)
