"""What one pass can make again is not kept: backward makes it when it is first asked for.

A batch norm keeps x. A rectifier and the convolution behind it keep what both made of that, relu(s x + t): it
is as large as x, and made again in a fraction of the time that the convolution takes. So a kernel says of its
result how to make it again, and a module that saves such a tensor holds that instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

from torch import Tensor

from ds_core.kernels import alike

LEAST = 1 << 17  # numbers; less memory is not worth the pass


class Remade:
    """A tensor that is not there, but can be made.

    Several modules may hold it. It is made for the first that asks, and let go with the last.

    Args:
        make: returns it, each time the same.
        watched: what it is made of, with how often that had been changed in place.
    """

    def __init__(self, make: Callable[[], Tensor], watched: list[tuple[Tensor, int]]) -> None:
        self.make = make
        self.watched = watched
        self.holders = 0
        self.tensor: Tensor | None = None

    def take(self) -> Tensor:
        """Returns the tensor; whoever took it holds it no longer."""
        tensor = self.make() if self.tensor is None else self.tensor
        self.holders -= 1
        self.tensor = tensor if self.holders > 0 else None
        return tensor


# id -> (the tensor, how often it had been changed in place, how to make it); while the tensor lives
_known: dict[int, tuple[ref[Tensor], int, Remade]] = {}


def remember(y: Tensor, make: Callable[[], Tensor], *sources: Tensor | None) -> None:
    """Says how to make a tensor again, to the bit, from others that are kept anyway."""
    if y.numel() >= LEAST and type(y) is Tensor and not y.is_inference():
        watched = [(x, x._version) for x in sources if x is not None and not x.is_inference()]
        _note(y, Remade(make, watched))


def follow(y: Tensor, x: Tensor, function: Callable[[Tensor], Tensor]) -> None:
    """Says that y, the function of x, can be made again if x can."""
    if _known and (before := _recipe(x)) is not None:
        _note(y, Remade(lambda: function(before.make()), before.watched))


def held(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns what to hold of values, in tuples and lists too: the same object if all of it is to be kept."""
    if not _known:
        return values
    parts = [_held(value) for value in values]
    return alike(values, parts) if any(a is not b for a, b in zip(parts, values, strict=True)) else values


def taken(values: Any) -> Any:
    """Returns values with every tensor that was not kept made again."""
    if isinstance(values, Remade):
        return values.take()
    if isinstance(values, (tuple, list)):
        return alike(values, [taken(value) for value in values])
    return values


def _note(y: Tensor, how: Remade) -> None:
    key = id(y)
    _known[key] = ref(y, lambda _: _known.pop(key, None)), y._version, how


def _held(value: Any) -> Any:
    if isinstance(value, Tensor):
        recipe = _recipe(value)
        if recipe is None:
            return value
        recipe.holders += 1
        return recipe
    return held(value) if isinstance(value, (tuple, list)) else value  # type: ignore[arg-type]


def _recipe(x: Tensor) -> Remade | None:
    """Returns how to make a tensor again; None if nobody said so, or it was changed since, or its sources."""
    found = _known.get(id(x))
    if found is None or found[0]() is not x or found[1] != x._version:
        return None
    how = found[2]
    return how if all(source._version == version for source, version in how.watched) else None
