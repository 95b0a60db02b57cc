"""Checks on inputs, so that a wrong shape or type names the layer, what it expected and what it got."""

from __future__ import annotations

import difflib
import math
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, NamedTuple, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ds_core.module import Module


class Doubt(NamedTuple):
    """Numbers that may be wrong; only the device knows as yet."""

    wrong: Tensor  # one boolean
    error: Callable[[], Exception]


class _Block(threading.local):
    """Of each thread: what the innermost :func:`checked_together` has collected; None outside."""

    doubts: list[Doubt] | None = None


_block = _Block()


@contextmanager
def checked_together() -> Iterator[list[Doubt]]:
    """Collects the doubts of :func:`check_numbers` in the block, to be read from the device all at once.

    At its end they are read, and the first error that is due is raised; what has been computed from wrong
    numbers meanwhile must not be used.
    """
    outer, _block.doubts = _block.doubts, []
    try:
        yield _block.doubts
    finally:
        _block.doubts = outer


def reads_at_once() -> bool:
    """Says whether :func:`check_numbers` reads its number from the device at once."""
    return _block.doubts is None


def check_numbers(wrong: Tensor, error: Callable[[], Exception]) -> bool:
    """Raises an error if numbers are wrong: at once, or at the end of :func:`checked_together`.

    Args:
        wrong: whether they are, one boolean on their device.
        error: makes the error.

    Returns:
        Whether the check is yet to come; what follows must survive wrong numbers then.
    """
    if _block.doubts is None:
        if wrong:
            raise error()
        return False
    _block.doubts.append(Doubt(wrong, error))
    return True


def shape(x: Tensor) -> str:
    """Writes a shape the way error messages show it: ``(32, 28, 28)``."""
    return str(tuple(x.shape))


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Returns ``; did you mean 'adam'?``, to end a message about an unknown name; "" if none is close."""
    close = difflib.get_close_matches(str(name).lower(), list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def check_whole(who: str, least: int = 1, **numbers: Any) -> None:
    """Checks that arguments are whole numbers, and not too small.

    Raises:
        TypeError: names function and argument, if it is not a whole number.
        ValueError: names them, if it is below ``least`` or beyond int64.
    """
    for name, number in numbers.items():
        if not isinstance(number, int) or isinstance(number, bool):
            raise TypeError(f"{who}: expected {name} to be a whole number, got {number!r}")
        if not least <= number < 2**63:
            raise ValueError(f"{who}: expected {name} of at least {least}, got {number}")


def check_number(who: str, least: float = -math.inf, **numbers: Any) -> None:
    """Checks that arguments are finite numbers, and not too small.

    Raises:
        TypeError: names function and argument, if it is not a number.
        ValueError: names them, if it is NaN, infinite or below ``least``.
    """
    for name, number in numbers.items():
        if not isinstance(number, (int, float)) or isinstance(number, bool):
            raise TypeError(f"{who}: expected {name} to be a number, got {number!r}")
        if not (math.isfinite(number) and number >= least):
            at_least = f" of at least {least:g}" if least > -math.inf else ""
            raise ValueError(f"{who}: expected a finite {name}{at_least}, got {number}")


def as_path(who: str, path: Any) -> Path:
    """Returns a path.

    Raises:
        TypeError: names the function, if it is not a path.
    """
    if not isinstance(path, (str, Path)):
        raise TypeError(f"{who}: expected the path of a file or folder, got {path!r}")
    return Path(path)


def seeded(who: str, seed: int) -> torch.Generator:
    """Returns a generator with a seed.

    Raises:
        TypeError, ValueError: if the seed is not a whole number, or does not fit into 64 bits.
    """
    check_whole(who, -(2**63), seed=seed)
    return torch.Generator().manual_seed(seed)


def check_fields(config: Any) -> None:
    """Checks that every field of a dataclass holds what its annotation says, and no NaN or infinity.

    Raises:
        TypeError: names the field.
        ValueError: names the field, if it is NaN or infinite.
    """
    name = type(config).__name__
    for field, kind in get_type_hints(type(config)).items():
        value = getattr(config, field)
        kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
        kinds = tuple(get_origin(k) or k for k in kinds)  # of tuple[str, ...] the tuple
        if isinstance(value, bool) != (bool in kinds) or not isinstance(
            value, tuple((int, float) if k is float else k for k in kinds)
        ):
            expected = " or ".join(getattr(k, "__name__", str(k)) for k in kinds).replace("NoneType", "None")
            raise TypeError(f"{name}: expected {field} to be {expected}, got {value!r}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name}: expected {field} to be finite, got {value}")


def check_features(module: Module, x: Tensor, features: int, like: Tensor) -> None:
    """Checks that the last dimension of ``x`` is ``features`` and its type that of a parameter.

    Raises:
        TypeError: if ``x`` has another dtype than ``like`` (an integer where a float is needed, say).
        ValueError: if the last dimension is not ``features``.
    """
    if x.dim() == 0 or x.shape[-1] != features:
        raise ValueError(
            f"{module.label()}: expected last dimension {features}, got input of shape {shape(x)}"
        )
    check_dtype(module, x, like.dtype)


def check_dtype(module: Module, x: Tensor, dtype: torch.dtype) -> None:
    """Checks that ``x`` has a floating point type.

    Raises:
        TypeError: says the expected and the given type and how to convert.
    """
    if x.dtype != dtype:
        raise TypeError(
            f"{module.label()}: expected {dtype} input like its parameters, got {x.dtype} of shape "
            f"{shape(x)}; convert with x.to({dtype})"
        )


def check_floating(module: Module, x: Tensor) -> None:
    """Checks that ``x`` is floating point, for layers without parameters.

    Raises:
        TypeError: if ``x`` holds integers or booleans.
    """
    if not x.is_floating_point():
        raise TypeError(
            f"{module.label()}: expected floating point input, got {x.dtype} of shape {shape(x)}; "
            "convert with x.float()"
        )


def check_trailing(module: Module, x: Tensor, sizes: tuple[int, ...], like: Tensor | None) -> None:
    """Checks that ``x`` ends in some sizes, and is floating point, of a parameter's type if there is one.

    Raises:
        TypeError: if ``x`` has another dtype than ``like``, or is not floating point.
        ValueError: if its last dimensions are not ``sizes``.
    """
    if x.dim() < len(sizes) or x.shape[x.dim() - len(sizes) :] != sizes:
        raise ValueError(
            f"{module.label()}: expected trailing dimensions {sizes}, got input of shape {shape(x)}"
        )
    check_like(module, x, like)


def check_like(module: Module, x: Tensor, like: Tensor | None) -> None:
    """Checks that ``x`` is floating point, and of a parameter's type if there is one.

    Raises:
        TypeError: if it is not.
    """
    if like is None:
        check_floating(module, x)
    else:
        check_dtype(module, x, like.dtype)


def check_comparable(module: Module, x1: Tensor, x2: Tensor, dim: int) -> int:
    """Checks that vectors along a dimension can be compared; returns the dimension, counted from the end.

    Raises:
        ValueError: if the shapes do not broadcast, or differ in size along ``dim``.
        TypeError: if the inputs are not of one floating point type.
    """
    check_floating(module, x1)
    if x1.dtype != x2.dtype:
        raise TypeError(f"{module.label()}: expected inputs of one type, got {x1.dtype} and {x2.dtype}")
    dims = max(x1.dim(), x2.dim())
    place = dim - dims if dim >= 0 else dim
    sizes = list(zip(reversed(x1.shape), reversed(x2.shape), strict=False))
    if (
        not -min(x1.dim(), x2.dim()) <= place < 0
        or x1.shape[place] != x2.shape[place]
        or any(a != b and 1 not in (a, b) for a, b in sizes)
    ):
        raise ValueError(
            f"{module.label()}: expected inputs of shapes that broadcast, with vectors of one size along "
            f"dimension {dim}, got {shape(x1)} and {shape(x2)}"
        )
    return place
