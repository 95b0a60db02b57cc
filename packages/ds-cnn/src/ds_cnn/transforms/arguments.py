"""Random numbers for a batch, and the checks on the arguments that say how they are drawn.

Numbers are drawn where the generator lives, by default on the processor, and then moved to the images: the
same seed changes images alike on every device.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Fill = float | Sequence[float]


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
        ValueError: if there are other than one or C numbers.
    """
    numbers = [fill] if isinstance(fill, (int, float)) else list(fill)
    if len(numbers) not in (1, images.shape[1]):
        raise ValueError(
            f"{who}: expected one number or one for each of the {images.shape[1]} channels, got {numbers}"
        )
    return torch.tensor(numbers, dtype=images.dtype, device=images.device).view(-1, 1, 1)


def probability(p: float, who: str) -> float:
    """Holds p to be a probability.

    Raises:
        ValueError: if it is not from 0 to 1.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"{who}: expected a probability p from 0 to 1, got {p}")
    return p


def pair(value: int | Sequence[int], what: str) -> tuple[int, int]:
    """Returns a size (height, width), from one number for both or from two.

    Raises:
        ValueError: if it is neither, or not at least 1.
    """
    numbers = (value, value) if isinstance(value, int) else tuple(value)
    if len(numbers) != 2 or not all(isinstance(n, int) and n >= 1 for n in numbers):
        raise ValueError(f"{what}: expected a number of pixels, or (height, width), got {value!r}")
    return numbers[0], numbers[1]


def span(value: Sequence[float], what: str, least: float, most: float) -> tuple[float, float]:
    """Returns a range (low, high) of numbers to draw from.

    Raises:
        ValueError: if it is not two numbers in order, between ``least`` and ``most``.
    """
    numbers = tuple(value)
    if len(numbers) != 2 or not least <= numbers[0] <= numbers[1] <= most:
        raise ValueError(f"{what}: expected (low, high) within {least:g} to {most:g}, got {value!r}")
    return float(numbers[0]), float(numbers[1])
