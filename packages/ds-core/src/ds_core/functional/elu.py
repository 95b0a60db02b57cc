"""ELU; SELU, which is an ELU times a scale; CELU, an ELU whose slope has no jump."""

from __future__ import annotations

import torch
from torch import Tensor


def elu(x: Tensor, alpha: float = 1.0, scale: float = 1.0) -> tuple[Tensor, tuple[Tensor, float, float]]:
    """Bends towards -c a below zero: y = c x where x > 0, else c a (exp(x) - 1)."""
    below = x.clamp(max=0)  # no exponential of a large number
    y = scale * torch.where(x > 0, x, alpha * torch.expm1(below))
    return y, (x, alpha, scale)


def elu_backward(grad: Tensor, saved: tuple[Tensor, float, float]) -> Tensor:
    """dL/dx = c g where x > 0, else c a exp(x) g."""
    x, alpha, scale = saved
    slope = torch.where(x > 0, 1, alpha * torch.exp(x.clamp(max=0)))  # x where x > 0, else a (exp(x) - 1)
    return grad * scale * slope  # y = c (...)


def celu(x: Tensor, alpha: float = 1.0) -> tuple[Tensor, tuple[Tensor, float]]:
    """Bends towards -a below zero: y = x where x > 0, else a (exp(x / a) - 1)."""
    below = x.clamp(max=0)  # no exponential of a large number
    y = torch.where(x > 0, x, alpha * torch.expm1(below / alpha))
    return y, (x, alpha)


def celu_backward(grad: Tensor, saved: tuple[Tensor, float]) -> Tensor:
    """dL/dx = g where x > 0, else exp(x / a) g."""
    x, alpha = saved
    slope = torch.exp(x.clamp(max=0) / alpha)  # y = x, whose slope is exp(0), else a (exp(x / a) - 1)
    return grad * slope
