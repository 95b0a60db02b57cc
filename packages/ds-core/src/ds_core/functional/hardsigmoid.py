"""Hardsigmoid: the sigmoid drawn with straight lines."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.relu import relu6


def hardsigmoid(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rises from 0 at -3 to 1 at 3: y = min(max(x + 3, 0), 6) / 6."""
    six_y, _ = relu6(x + 3)
    return six_y / 6, x


def hardsigmoid_backward(grad: Tensor, saved: Tensor) -> Tensor:
    """dL/dx = g / 6 where -3 < x < 3, else 0."""
    x = saved
    return torch.where((x <= -3) | (x >= 3), 0, grad / 6)  # y = (x + 3) / 6 between, constant beyond
