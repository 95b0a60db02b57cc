"""Mish: each number times a smooth gate much like SiLU's."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.sigmoid import sigmoid
from ds_core.functional.softplus import softplus


def mish(x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Weights each number by a gate: y = x t,   t = tanh(softplus(x)),   softplus(x) = log(1 + exp(x))."""
    soft, _ = softplus(x)
    t = torch.tanh(soft)
    return x * t, (x, t)


def mish_backward(grad: Tensor, saved: tuple[Tensor, Tensor]) -> Tensor:
    """dL/dx = g (t + x t'),   t' = (1 - t^2) sigmoid(x)."""
    x, t = saved
    slope_soft, _ = sigmoid(x)  # softplus(x) = log(1 + exp(x))
    slope_t = (1 - t**2) * slope_soft  # t = tanh(softplus(x))
    return grad * (t + x * slope_t)  # y = x t
