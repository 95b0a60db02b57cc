"""Hardswish: each number times a gate of straight lines."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.hardsigmoid import hardsigmoid


def hardswish(x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Weights each number by a gate that rises from 0 at -3 to 1 at 3.

    y = x h,   h = min(max(x + 3, 0), 6) / 6
    """
    h, _ = hardsigmoid(x)
    return x * h, (x, h)


def hardswish_backward(grad: Tensor, saved: tuple[Tensor, Tensor]) -> Tensor:
    """dL/dx = g (h + x h'),   h' = 1/6 for -3 < x < 3, else 0."""
    x, h = saved
    slope = torch.where(h >= 1, 1, h + x / 6)  # y = x h, h = (x + 3) / 6 for x < 3
    return torch.where(h <= 0, 0, grad * slope)  # h = 0 for x <= -3
