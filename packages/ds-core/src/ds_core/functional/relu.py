"""ReLU and ReLU6: numbers cut off at a bound."""

from __future__ import annotations

import torch
from torch import Tensor


def relu(x: Tensor) -> tuple[Tensor, Tensor]:
    """Cuts off below zero: y = max(x, 0)."""
    y = torch.where(x <= 0, 0, x)
    return y, y


def relu_backward(grad: Tensor, saved: Tensor) -> Tensor:
    """dL/dx = g where y > 0, else 0."""
    y = saved
    return torch.where(y <= 0, 0, grad)  # y = 0 where x <= 0


def relu6(x: Tensor) -> tuple[Tensor, Tensor]:
    """Cuts off below 0 and above 6: y = min(max(x, 0), 6)."""
    y = torch.where(x <= 0, 0, torch.where(x >= 6, 6, x))
    return y, y


def relu6_backward(grad: Tensor, saved: Tensor) -> Tensor:
    """dL/dx = g where 0 < y < 6, else 0."""
    y = saved
    return torch.where((y <= 0) | (y >= 6), 0, grad)  # y = 0 where x <= 0, 6 where x >= 6
