"""Sigmoid: any number to one between 0 and 1."""

from __future__ import annotations

import torch
from torch import Tensor


def sigmoid(x: Tensor) -> tuple[Tensor, Tensor]:
    """Squeezes each number between 0 and 1.

    y = 1 / (1 + exp(-x)) = exp(min(x, 0)) / (exp(min(x, 0)) + exp(-max(x, 0)))

    The second form has no exponential that overflows.
    """
    zero = x.new_zeros(())
    yes, no = torch.exp(torch.minimum(x, zero)), torch.exp(-torch.maximum(x, zero))
    y = yes / (yes + no)
    return y, y


def sigmoid_backward(grad: Tensor, saved: Tensor) -> Tensor:
    """dL/dx = g y (1 - y)."""
    y = saved
    return grad * y * (1 - y)  # y = 1 / (1 + exp(-x))
