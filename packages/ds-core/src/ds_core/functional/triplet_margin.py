"""Triplet margin: nearer to its like than to another."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ds_core.functional.pairwise_distance import Saved as Distance
from ds_core.functional.pairwise_distance import pairwise_distance, pairwise_distance_backward
from ds_core.functional.reduction import reduce


class Saved(NamedTuple):
    """What the backward needs."""

    near: Distance
    far: Distance
    other: Distance | None
    gap: Tensor  # (...)
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

    d is :func:`pairwise_distance`.
    """
    to_positive, near = pairwise_distance(anchor, positive, p, eps)
    to_negative, far = pairwise_distance(anchor, negative, p, eps)
    other = None
    if swap:
        between, other = pairwise_distance(positive, negative, p, eps)
        to_negative = torch.minimum(to_negative, between)
    gap = to_positive - to_negative + margin
    loss, share = reduce(gap.clamp(min=0), reduction)
    return loss, Saved(near, far, other, gap, share)


def triplet_margin_backward(grad: Tensor | float, saved: Saved) -> tuple[Tensor, Tensor, Tensor]:
    """Follows the distances that made the gap, where it is not below 0, to their two ends.

    Of equal d(a, n) and d(p, n) each has half of it.
    """
    near, far, other, gap, share = saved
    grad = grad * share * torch.where(gap >= 0, torch.ones_like(gap), 0)  # l = max(0, gap)
    grad_anchor, grad_positive = pairwise_distance_backward(grad, near)  # gap = d(a, p) - ...
    if other is None:
        from_far, grad_negative = pairwise_distance_backward(-grad, far)  # gap = ... - d(a, n)
        return grad_anchor + from_far, grad_positive, grad_negative
    to_far = ((other.d - far.d).sign() + 1) / 2  # 1 where d(a, n) is the smaller, 1/2 where they are equal
    from_far, grad_negative = pairwise_distance_backward(-grad * to_far, far)  # gap = ... - min(d(a, n), ...
    positive_too, negative_too = pairwise_distance_backward(-grad * (1 - to_far), other)  # ... d(p, n))
    return grad_anchor + from_far, grad_positive + positive_too, grad_negative + negative_too
