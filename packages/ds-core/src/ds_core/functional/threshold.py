"""Threshold: a number, or another in its place where it is too small."""

from __future__ import annotations

import torch
from torch import Tensor


def threshold(x: Tensor, threshold: float, value: float) -> tuple[Tensor, tuple[Tensor, float]]:
    """Replaces what is not above a threshold: y = x where x > t, else v."""
    y = torch.where(x <= threshold, value, x)
    return y, (x, threshold)


def threshold_backward(grad: Tensor, saved: tuple[Tensor, float]) -> Tensor:
    """dL/dx = g where x > t, else 0."""
    x, threshold = saved
    return torch.where(x <= threshold, 0, grad)  # y = v where x <= t
