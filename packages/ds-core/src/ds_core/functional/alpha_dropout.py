"""Alpha dropout: numbers set to SELU's lower end by a mask; mean and variance stay."""

from __future__ import annotations

import torch
from torch import Tensor

LOWEST = -1.7580993408473766  # where SELU ends below: -c a


def alpha_dropout(x: Tensor, kept: Tensor, p: float) -> tuple[Tensor, tuple[Tensor, float]]:
    """y = a x + b where a number is kept, else a l + b, with SELU's lower end l.

    a = 1 / sqrt(q (1 + p l^2)),   b = -a p l,   q = 1 - p: mean 0 and variance 1 stay what they are

    Args:
        x: any shape.
        kept: boolean, drawn with the probability q of True; broadcasts to x.
        p: the probability of dropping, from 0 to 1; where it is 1, everything is 0.
    """
    a = ((1 - p) * (1 + p * LOWEST**2)) ** -0.5 if p < 1 else 0.0
    b = -a * p * LOWEST
    y = a * torch.where(kept, x, LOWEST) + b
    return y, (kept, a)


def alpha_dropout_backward(grad: Tensor, saved: tuple[Tensor, float]) -> Tensor:
    """dL/dx = a g where a number was kept, else 0."""
    kept, a = saved
    return torch.where(kept, a * grad, 0)  # y = a x + b where kept
