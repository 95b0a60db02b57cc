"""Dice loss: how little a predicted mask overlaps the true one."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ds_core.functional.reduction import reduce
from ds_core.functional.sigmoid import sigmoid, sigmoid_backward


class Saved(NamedTuple):
    """What the backward needs."""

    p: Tensor  # (N, ...)
    t: Tensor  # (N, ...)
    n: Tensor  # (N, 1, ...)
    d: Tensor  # (N, 1, ...)
    share: float


def dice(x: Tensor, target: Tensor, smooth: float = 1.0, reduction: str = "mean") -> tuple[Tensor, Saved]:
    """Compares the overlap of two masks with their sizes.

    l = 1 - n / d,   n = 2 sum p t + s,   d = sum p + sum t + s,   p = 1 / (1 + exp(-x))

    The sums run over all dimensions of ``(N, ...)`` but the first.
    """
    pixels = tuple(range(1, x.dim()))
    p, _ = sigmoid(x)
    n = 2 * (p * target).sum(pixels, keepdim=True) + smooth
    d = p.sum(pixels, keepdim=True) + target.sum(pixels, keepdim=True) + smooth
    loss, share = reduce((1 - n / d).flatten(), reduction)  # (N,)
    return loss, Saved(p, target, n, d, share)


def dice_backward(grad: Tensor | float, saved: Saved) -> Tensor:
    """dl/dp = (n / d - 2t) / d,   dl/dx = dl/dp p (1 - p)."""
    p, t, n, d, share = saved
    grad = grad * share
    if isinstance(grad, Tensor):
        grad = grad.view(-1, *[1] * (p.dim() - 1))  # (N, 1, ...), or one for all
    grad_p = grad * (n / d - 2 * t) / d  # l = 1 - n / d
    return sigmoid_backward(grad_p, p)  # p = sigmoid(x)
