"""Inputs for trials: random numbers that are the same every time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

# Draws the inputs of one call from a generator.
Inputs = Callable[[torch.Generator], tuple[Any, ...]]


def seeded(seed: int = 0) -> torch.Generator:
    """Returns a generator with a seed."""
    return torch.Generator().manual_seed(seed)


def normal(*shapes: tuple[int, ...], scale: float = 1.0, shift: float = 0.0) -> Inputs:
    """Returns what draws one input of each shape from N(shift, scale^2).

    Args:
        shapes: of the inputs.
        scale: their standard deviation.
        shift: their mean.

    Example:
        >>> Case(name="Dense(3, 2)", make=lambda: Dense(3, 2), inputs=normal((4, 3)))
    """
    return lambda g: tuple(torch.randn(shape, generator=g) * scale + shift for shape in shapes)
