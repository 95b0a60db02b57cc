"""Triplet margin: nearer to its like than to another."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ds_core.functional.reduction import reduce

Distance = tuple[Tensor, Tensor]  # d (...), v (..., D)


class Saved(NamedTuple):
    """What the backward needs."""

    near: Distance
    far: Distance
    other: Distance | None
    gap: Tensor  # (...)
    p: float
    share: float


def triplet_margin(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> tuple[Tensor, Saved]:
    """Asks that an anchor is nearer to a positive example than to a negative one, by a margin.

    l = max(0, gap),   gap = d(a, p) - d(a, n) + margin;   with swap, min(d(a, n), d(p, n)) for d(a, n)

    d(x, y) = (sum_i |v_i|^p)^(1/p),   v = x - y + eps;   for p = inf, max_i |v_i|

    ``eps`` keeps the distance of equal points from 0, where it has no slope.
    """
    near, far = _distance(anchor, positive, p, eps), _distance(anchor, negative, p, eps)
    other = _distance(positive, negative, p, eps) if swap else None
    to_negative = far[0] if other is None else torch.minimum(far[0], other[0])
    gap = near[0] - to_negative + margin
    loss, share = reduce(gap.clamp(min=0), reduction)
    return loss, Saved(near, far, other, gap, p, share)


def triplet_margin_backward(grad: Tensor | float, saved: Saved) -> tuple[Tensor, Tensor, Tensor]:
    """Follows the distances that made the gap, where it is not below 0, to their two ends.

    dd/dx_i = sign(v_i) (|v_i| / d)^(p - 1) = -dd/dy_i;   of equal d(a, n) and d(p, n) each has half of it
    """
    near, far, other, gap, p, share = saved
    grad = grad * share * torch.where(gap >= 0, torch.ones_like(gap), 0)  # l = max(0, gap)
    through_near = _distance_backward(grad, near, p)  # gap = d(a, p) - ...
    if other is None:
        through_far = _distance_backward(-grad, far, p)  # gap = ... - d(a, n)
        return through_near + through_far, -through_near, -through_far
    to_far = ((other[0] - far[0]).sign() + 1) / 2  # 1 where d(a, n) is the smaller, 1/2 where they are equal
    through_far = _distance_backward(-grad * to_far, far, p)  # gap = ... - min(d(a, n), d(p, n))
    through_other = _distance_backward(-grad * (1 - to_far), other, p)
    return through_near + through_far, through_other - through_near, -through_far - through_other


def _distance(x: Tensor, y: Tensor, p: float, eps: float) -> Distance:
    v = x - y + eps  # (..., D)
    if p == math.inf:
        return v.abs().amax(-1), v
    total = (v.abs() ** p).sum(-1).clamp(min=torch.finfo(v.dtype).tiny)  # at 0 the root has no slope
    return total ** (1 / p), v


def _distance_backward(grad: Tensor, saved: Distance, p: float) -> Tensor:
    """Returns dL/dx; dL/dy is its negative. For p = inf the largest components share g equally."""
    d, v = saved[0].unsqueeze(-1), saved[1]
    if p == math.inf:
        largest = torch.where(v.abs() == d, torch.ones_like(v), 0)
        share = largest / largest.sum(-1, keepdim=True)  # d = max |v_i|
    else:
        share = (v.abs() / d) ** (p - 1)  # d = (sum |v_i|^p)^(1/p)
    return grad.unsqueeze(-1) * share * v.sign()  # |v_i|, v = x - y + eps
