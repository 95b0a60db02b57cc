"""Dropout: the forward with its backward below it."""

from __future__ import annotations

import torch
from torch import Tensor


def dropout(x: Tensor, p: float, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """Sets each number to zero with probability p and divides the others by 1 - p, so that the mean stays.

    Args:
        x: any shape.
        p: from 0 (nothing is dropped) to 1 (everything is).
        generator: source of the random numbers; None for torch's global one.

    Returns:
        The output and the boolean mask of the numbers kept, both shaped like x.
    """
    # Drawn in float32 whatever x is: one seed drops the same numbers at every precision.
    kept = torch.rand(x.shape, generator=generator, device=x.device, dtype=torch.float32) >= p
    return dropout_backward(x, kept, p), kept


def dropout_backward(grad: Tensor, kept: Tensor, p: float) -> Tensor:
    """Returns g / (1 - p) where a number was kept, else 0: the forward is linear, so this is it again."""
    scale = 1 / (1 - p) if p < 1 else 0.0
    return (grad * kept).mul_(scale)
