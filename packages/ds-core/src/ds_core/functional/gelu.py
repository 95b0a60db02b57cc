"""GELU: each number times the probability that a standard normal one lies below it."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

GELUForm = Literal["none", "tanh"]


def gelu(x: Tensor, approximate: GELUForm = "none") -> tuple[Tensor, tuple[Tensor, Tensor, GELUForm]]:
    """Weights each number by a gate: y = x p.

    p = (1 + erf(x / sqrt 2)) / 2, the probability that a standard normal number is below x

    For "tanh":  p = (1 + tanh u) / 2,   u = sqrt(2 / pi) (x + 0.044715 x^3)
    """
    if approximate == "tanh":
        u = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        p = (1 + torch.tanh(u)) / 2
    else:
        p = (1 + torch.erf(x / math.sqrt(2))) / 2
    return x * p, (x, p, approximate)


def gelu_backward(grad: Tensor, saved: tuple[Tensor, Tensor, GELUForm]) -> Tensor:
    """dL/dx = g (p + x p'),   p' = exp(-x^2 / 2) / sqrt(2 pi), the normal density.

    For "tanh":  p' = 2 p (1 - p) u',   u' = sqrt(2 / pi) (1 + 3 0.044715 x^2)
    """
    x, p, approximate = saved
    if approximate == "tanh":
        slope_u = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x**2)  # u = sqrt(2 / pi) (x + 0.044715 x^3)
        slope_p = 2 * p * (1 - p) * slope_u  # p = (1 + tanh u) / 2
    else:
        slope_p = torch.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)  # p = (1 + erf(x / sqrt 2)) / 2
    return grad * (p + x * slope_p)  # y = x p
