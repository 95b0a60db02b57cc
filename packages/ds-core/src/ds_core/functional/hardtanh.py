"""Hardtanh: tanh drawn with straight lines."""

from __future__ import annotations

import torch
from torch import Tensor


def hardtanh(
    x: Tensor, min_val: float = -1.0, max_val: float = 1.0
) -> tuple[Tensor, tuple[Tensor, float, float]]:
    """Cuts off below a and above b: y = min(max(x, a), b)."""
    y = torch.where(x <= min_val, min_val, torch.where(x >= max_val, max_val, x))
    return y, (x, min_val, max_val)


def hardtanh_backward(grad: Tensor, saved: tuple[Tensor, float, float]) -> Tensor:
    """dL/dx = g where a < x < b, else 0."""
    x, min_val, max_val = saved
    return torch.where((x <= min_val) | (x >= max_val), 0, grad)  # y = a where x <= a, b where x >= b
