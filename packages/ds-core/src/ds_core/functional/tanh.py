"""Tanh: any number to one between -1 and 1."""

from __future__ import annotations

import torch
from torch import Tensor


def tanh(x: Tensor) -> tuple[Tensor, Tensor]:
    """Squeezes each number between -1 and 1: y = sinh(x) / cosh(x)."""
    y = torch.tanh(x)
    return y, y


def tanh_backward(grad: Tensor, saved: Tensor) -> Tensor:
    """dL/dx = g (1 - y^2)."""
    y = saved
    return grad * (1 - y**2)  # y = tanh(x)
