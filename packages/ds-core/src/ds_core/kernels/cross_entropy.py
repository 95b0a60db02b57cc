"""Cross-entropy on a processor: one tensor of the scores' size for forward and backward."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ds_core.functional.cross_entropy import cross_entropy
from ds_core.kernels import kernel
from ds_core.kernels.elementary import exp


class Saved(NamedTuple):
    """What the backward needs. The target t is in two parts, either of which may be None."""

    e: Tensor  # (N, C, ...): exponentials, which become the gradient
    factor: Tensor  # (N, 1, ...): T over their sum
    right: Tensor | None  # (N, 1, ...): the right class ...
    t_y: Tensor | None  # (N, 1, ...): ... and what it alone is wanted
    spread: Tensor | None  # (N, C, ...), or broadcasts so: what is wanted of every class
    share: float  # of each position in the result
    dim: int


@kernel(cross_entropy)
class CrossEntropyKernel:
    """Exponentials stay unnormalised; no row of zeros with a one is ever built.

    Where nothing is wanted (T = 0) the largest score counts as infinite, so that all exponentials are 0.
    """

    @staticmethod
    def forward(
        x: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        smoothing: float = 0.0,
        reduction: str = "mean",
        dim: int = 1,
    ) -> tuple[Tensor, Saved]:
        classes = x.shape[dim]
        w = None if weight is None else weight.view(-1, *[1] * (x.dim() - 1 - dim))  # (C, 1, ...)
        right = t_y = spread = None
        all_wanted = False
        if target.is_floating_point():
            spread = target if not smoothing else (target * (1 - smoothing)).add_(smoothing / classes)
            spread = spread if w is None else spread * w
            total, n = spread.sum(dim, keepdim=True), x.numel() / max(classes, 1)
        else:
            right = target.unsqueeze(dim)
            ignored = right == ignore_index
            all_wanted = weight is None and not ignored.any()
            if all_wanted:
                heard = t_y = x.new_ones(()).expand(right.shape)
                n = right.numel()
            else:
                right, heard = right.clamp(0, classes - 1), (~ignored).to(x.dtype)
                t_y = heard if weight is None else weight[right].mul_(heard)
                n = float(t_y.sum())
            total = t_y
            if smoothing:
                t_y = t_y * (1 - smoothing) if smoothing < 1 else None  # 0 times -inf is not a number
                spread = heard * (smoothing / classes)
                spread = spread if w is None else spread * w
                total = spread.expand_as(x).sum(dim, keepdim=True).add_(0 if t_y is None else t_y)
        m = x.amax(dim, keepdim=True)
        z = x - (m if all_wanted else torch.where(total != 0, m, torch.inf))
        score: Tensor | float = 0.0  # sum_c t_c z_c
        if right is not None and t_y is not None:
            score = z.gather(dim, right).mul_(t_y)
        if spread is not None and spread.shape[dim] == 1:
            score = z.sum(dim, keepdim=True).mul_(spread).add_(score)
        elif spread is not None:
            score = score + torch.where(spread == 0, 0, spread * z).sum(dim, keepdim=True)
        e = exp(z, out=z)
        normaliser = e.sum(dim, keepdim=True)
        values, factor = normaliser.log().mul_(total).sub_(score), total / normaliser
        if not all_wanted:
            values, factor = (torch.where(total != 0, v, 0) for v in (values, factor))
        share = (1 / n if n else 0.0) if reduction == "mean" else 1.0
        loss = values.squeeze(dim) if reduction == "none" else values.sum().mul_(share)
        if reduction == "mean" and not n:
            loss = loss + math.nan
        return loss, Saved(e, factor, right, t_y, spread, share, dim)

    @staticmethod
    def backward(grad: Tensor | float, saved: Saved) -> Tensor:
        e, factor, right, t_y, spread, share, dim = saved
        grad = grad * share
        if isinstance(grad, Tensor) and grad.dim():  # of each position
            grad = grad.unsqueeze(dim)
        grad_x = e.mul_(factor.mul_(grad))  # T p
        if right is not None and t_y is not None:
            grad_x.scatter_add_(dim, right, t_y * -grad)
        return grad_x if spread is None else grad_x.sub_(spread * grad)
