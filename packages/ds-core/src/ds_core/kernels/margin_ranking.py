"""Margin ranking on a processor: in the memory of the gap."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.margin_ranking import margin_ranking
from ds_core.functional.reduction import reduce
from ds_core.kernels import kernel


@kernel(margin_ranking)
class MarginRankingKernel:
    """The gap becomes the gradient."""

    @staticmethod
    def forward(
        x1: Tensor, x2: Tensor, target: Tensor, margin: float = 0.0, reduction: str = "mean"
    ) -> tuple[Tensor, tuple[Tensor, Tensor, float]]:
        gap = (x2 - x1).mul_(target).add_(margin)
        loss, share = reduce(gap.clamp(min=0), reduction)
        return loss, (gap, target, share)

    @staticmethod
    def backward(grad: Tensor | float, saved: tuple[Tensor, Tensor, float]) -> tuple[Tensor, Tensor]:
        gap, target, share = saved
        grad_2 = torch.ge(gap, 0, out=gap).mul_(target).mul_(grad * share)
        return -grad_2, grad_2
