"""Dropout: numbers set to zero by a mask, the others made larger so that the mean stays."""

from __future__ import annotations

import torch
from torch import Tensor


def dropout(x: Tensor, kept: Tensor, p: float) -> tuple[Tensor, tuple[Tensor, float]]:
    """y = x / (1 - p) where a number is kept, else 0.

    Args:
        x: any shape.
        kept: boolean, drawn with the probability 1 - p of True; broadcasts to x.
        p: the probability of dropping, from 0 to 1; where it is 1, nothing is kept.
    """
    scale = 1 / (1 - p) if p < 1 else 0.0
    y = torch.where(kept, x * scale, 0)
    return y, (kept, scale)


def dropout_backward(grad: Tensor, saved: tuple[Tensor, float]) -> Tensor:
    """dL/dx = g / (1 - p) where a number was kept, else 0: the forward is linear, so this is it again."""
    kept, scale = saved
    return torch.where(kept, grad * scale, 0)  # y = x scale where kept
