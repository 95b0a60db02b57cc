"""Focal loss: the binary cross-entropy, weighed by how wrong the score still is."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ds_core.functional.reduction import reduce
from ds_core.functional.sigmoid import sigmoid
from ds_core.functional.softplus import softplus


class Saved(NamedTuple):
    """What the backward needs."""

    p: Tensor  # the probability of a yes
    q: Tensor  # the probability given to the wrong answer
    c: Tensor  # the cross-entropy
    a: Tensor | float
    target: Tensor
    gamma: float
    share: float


def focal(
    x: Tensor, target: Tensor, alpha: float | None = 0.25, gamma: float = 2.0, reduction: str = "mean"
) -> tuple[Tensor, Saved]:
    """Weighs the cross-entropy c by the probability q given to the wrong answer: l = a q^gamma c.

    p = 1 / (1 + exp(-x)),   q = p (1 - t) + (1 - p) t,   c = t softplus(-x) + (1 - t) softplus(x),
    a = alpha t + (1 - alpha) (1 - t)
    """
    p, _ = sigmoid(x)
    q = p + target - 2 * p * target
    q = q.clamp(min=torch.finfo(p.dtype).tiny)  # so that a power below 1 has a slope
    yes, _ = softplus(-x)
    no, _ = softplus(x)
    c = target * yes + (1 - target) * no
    a = 1.0 if alpha is None else alpha * target + (1 - alpha) * (1 - target)
    loss, share = reduce(a * q**gamma * c, reduction)
    return loss, Saved(p, q, c, a, target, gamma, share)


def focal_backward(grad: Tensor | float, saved: Saved) -> Tensor:
    """dl/dx = a (q^gamma (p - t) + gamma q^(gamma - 1) c (1 - 2t) p (1 - p))."""
    p, q, c, a, target, gamma, share = saved
    slope_c = p - target  # c = t softplus(-x) + (1 - t) softplus(x)
    slope_q = (1 - 2 * target) * p * (1 - p)  # q = p + t - 2 p t, p = sigmoid(x)
    slope = q**gamma * slope_c + gamma * q ** (gamma - 1) * c * slope_q  # l = a q^gamma c
    return grad * share * (a * slope)
