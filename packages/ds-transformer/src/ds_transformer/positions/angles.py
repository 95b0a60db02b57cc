"""The angles that sinusoidal, rotary and 2-D sine positions share: hands of clocks, from fast to slow."""

from __future__ import annotations

import torch
from torch import Tensor


def angles(positions: Tensor, width: int, base: float) -> Tensor:
    """Returns p base^(-2i / width) for i = 0 ... width/2 - 1, in radians.

    The first hand turns by 1 at every position, the last almost ``base`` times more slowly.

    Args:
        positions: p, floating point, any shape ``(...)``.
        width: an even number, twice as many as there are angles.
        base: how much slower the last hand would be than the first.

    Returns:
        ``(..., width/2)``.
    """
    exponents = torch.arange(0, width, 2, dtype=positions.dtype, device=positions.device) / width
    return positions.unsqueeze(-1) * (1.0 / base**exponents)


def sinusoids(positions: Tensor, width: int, base: float) -> Tensor:
    """Returns sine and cosine of each of the :func:`angles`, side by side.

    y_2i = sin(p base^(-2i / width)),   y_(2i+1) = cos(p base^(-2i / width))

    Args:
        positions: p, floating point, any shape ``(...)``.
        width: of the result, an even number.
        base: how much slower the last pair would be than the first.

    Returns:
        ``(..., width)``.
    """
    turned = angles(positions, width, base)
    return torch.stack((turned.sin(), turned.cos()), -1).flatten(-2)


def at_least_float32(dtype: torch.dtype) -> torch.dtype:
    """Returns the type to compute angles in: bfloat16 cannot tell position 256 from 257."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def check_angles(name: str, width: int, base: float) -> None:
    """Checks that a width is even and above 0, and a base above 0.

    Raises:
        ValueError: if either is something else.
    """
    if width < 2 or width % 2:
        raise ValueError(f"{name}: expected an even width of at least 2, for pairs of numbers, got {width}")
    if not base > 0:
        raise ValueError(f"{name}: expected a base above 0, got {base}")
