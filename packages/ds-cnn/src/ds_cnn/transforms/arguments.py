"""Random numbers for a batch, and the checks on the arguments that say how they are drawn.

Numbers are drawn where the generator lives, by default on the processor, and then moved to the images: the
same seed changes images alike on every device.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

Fill = float | Sequence[float]
_MOST = 1e30
_MOST_PIXELS = 65_536  # on a side


def uniform(
    images: Tensor, generator: torch.Generator | None, low: float = 0.0, high: float = 1.0, columns: int = 0
) -> Tensor:
    """Draws evenly from [low, high): ``(N,)`` for N images, or ``(N, columns)``, float64."""
    device = torch.device("cpu") if generator is None else generator.device
    size = (len(images), columns) if columns else (len(images),)
    drawn = torch.rand(size, generator=generator, device=device, dtype=torch.float64)
    return (low + (high - low) * drawn).to(images.device)


def whole(images: Tensor, generator: torch.Generator | None, choices: Tensor | int) -> Tensor:
    """Draws a whole number below ``choices`` for every image, ``(N,)`` int64."""
    return (uniform(images, generator) * choices).long()


def per_channel(fill: Fill, images: Tensor, who: str) -> Tensor:
    """Returns a fill, one number or one for each channel, as ``(C or 1, 1, 1)``.

    Raises:
        ValueError: if there are other than one or C finite numbers.
    """
    given = [fill] if is_number(fill) else numbers(fill)
    if given is None or len(given) not in (1, images.shape[1]):
        raise ValueError(
            f"{who}: expected one number or one for each of the {images.shape[1]} channels, got {fill!r}"
        )
    return torch.tensor(given, dtype=images.dtype, device=images.device).view(-1, 1, 1)


def is_number(value: Any) -> bool:
    """Says whether a value is a finite number, numpy's too, and small enough for float32."""
    return isinstance(value, Real) and not isinstance(value, bool) and abs(value) < _MOST  # type: ignore[operator]


def numbers(value: Any) -> list[float] | None:
    """Returns a sequence, a tensor or an array in one dimension as a list of numbers; None if it is none."""
    given = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(given, Sequence) or not all(map(is_number, given)):
        return None
    return [int(number) if isinstance(number, Integral) else float(number) for number in given]


def probability(p: float, who: str) -> float:
    """Checks that p is a probability.

    Raises:
        ValueError: if it is not from 0 to 1.
    """
    if not is_number(p) or not 0 <= p <= 1:
        raise ValueError(f"{who}: expected a probability p from 0 to 1, got {p!r}")
    return p


def pair(value: int | Sequence[int], what: str) -> tuple[int, int]:
    """Returns a size (height, width), from one number for both or from two.

    Raises:
        ValueError: if it is neither, or not from 1 to 65,536.
    """
    sides = numbers([value, value] if isinstance(value, (int, Integral)) else value)
    if sides is None or len(sides) != 2 or not all(_is_size(side) for side in sides):
        raise ValueError(
            f"{what}: expected a number of pixels from 1 to {_MOST_PIXELS}, or (height, width), got {value!r}"
        )
    return int(sides[0]), int(sides[1])


def _is_size(side: float) -> bool:
    return isinstance(side, int) and 1 <= side <= _MOST_PIXELS


def span(value: Sequence[float], what: str, least: float, most: float) -> tuple[float, float]:
    """Returns a range (low, high) of numbers to draw from.

    Raises:
        ValueError: if it is not two numbers in order, between ``least`` and ``most``.
    """
    ends = numbers(value)
    if ends is None or len(ends) != 2 or not least <= ends[0] <= ends[1] <= most:
        raise ValueError(f"{what}: expected (low, high) within {least:g} to {most:g}, got {value!r}")
    return float(ends[0]), float(ends[1])
