"""Cosine embedding: whether two vectors should point the same way."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ds_core.functional.reduction import reduce


class Saved(NamedTuple):
    """What the backward needs."""

    x1: Tensor  # (..., D)
    x2: Tensor  # (..., D)
    c: Tensor  # (...)
    target: Tensor  # (...)
    margin: float
    share: float


def cosine_embedding(
    x1: Tensor, x2: Tensor, target: Tensor, margin: float = 0.0, reduction: str = "mean"
) -> tuple[Tensor, Saved]:
    """Compares the cosine of the angle with 1, or with a margin.

    l = 1 - c where t = 1, else max(0, c - margin)

    c = x1.x2 / sqrt(S1 S2),   S = x.x + 1e-12
    """
    c = (x1 * x2).sum(-1) / (_square(x1) * _square(x2)).sqrt()  # (...)
    loss, share = reduce(torch.where(target == 1, 1 - c, (c - margin).clamp(min=0)), reduction)
    return loss, Saved(x1, x2, c, target, margin, share)


def cosine_embedding_backward(grad: Tensor | float, saved: Saved) -> tuple[Tensor, Tensor]:
    """dl/dc = -1 where t = 1, else 1 where c >= margin, else 0.

    dc/dx1 = x2 / sqrt(S1 S2) - c x1 / S1,   dc/dx2 = x1 / sqrt(S1 S2) - c x2 / S2
    """
    x1, x2, c, target, margin, share = saved
    one = torch.ones_like(c)
    slope = torch.where(
        target == 1, -one, torch.where(c >= margin, one, 0)
    )  # l = 1 - c, or max(0, c - margin)
    grad_c = (grad * share * slope).unsqueeze(-1)  # (..., 1)
    c, s1, s2 = c.unsqueeze(-1), _square(x1).unsqueeze(-1), _square(x2).unsqueeze(-1)
    root = (s1 * s2).sqrt()
    grad_1 = grad_c * (x2 / root - c * x1 / s1)  # c = x1.x2 / sqrt(S1 S2)
    grad_2 = grad_c * (x1 / root - c * x2 / s2)
    return grad_1, grad_2


def _square(x: Tensor) -> Tensor:
    return (x * x).sum(-1) + 1e-12
