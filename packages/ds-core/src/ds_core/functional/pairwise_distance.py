"""Pairwise distance: the p-norm of the difference of two vectors."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Saved(NamedTuple):
    """What the backward needs."""

    d: Tensor  # (...)
    v: Tensor  # (..., D)
    p: float
    shapes: tuple[torch.Size, torch.Size]


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6) -> tuple[Tensor, Saved]:
    """d = (sum_i |v_i|^p)^(1/p),   v = x1 - x2 + eps;   for p = inf, max_i |v_i|.

    ``eps`` keeps the distance of equal points from 0, where it has no slope.

    Args:
        x1: ``(..., D)``.
        x2: ``(..., D)``, of a shape that broadcasts with it.
        p: which norm, above 0.
        eps: added to each difference.
    """
    v = x1 - x2 + eps  # (..., D)
    if p == math.inf:
        d = v.abs().amax(-1)
    else:
        d = (v.abs() ** p).sum(-1).clamp(min=torch.finfo(v.dtype).tiny) ** (1 / p)  # at 0 it has no slope
    return d, Saved(d, v, p, (x1.shape, x2.shape))


def pairwise_distance_backward(grad: Tensor, saved: Saved) -> tuple[Tensor, Tensor]:
    """dd/dx1_i = sign(v_i) (|v_i| / d)^(p - 1) = -dd/dx2_i;   for p = inf the largest share it equally."""
    d, v, p, (shape1, shape2) = saved
    d = d.unsqueeze(-1)
    if p == math.inf:
        largest = torch.where(v.abs() == d, torch.ones_like(v), 0)
        share = largest / largest.sum(-1, keepdim=True)  # d = max |v_i|
    else:
        share = torch.where(v == 0, 0, (v.abs() / d) ** (p - 1))  # d = (sum |v_i|^p)^(1/p)
    grad_v = grad.unsqueeze(-1) * share * v.sign()  # |v_i|
    return grad_v.sum_to_size(shape1), -grad_v.sum_to_size(shape2)  # v = x1 - x2 + eps
