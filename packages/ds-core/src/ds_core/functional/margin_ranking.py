"""Margin ranking: which of two scores should be the larger."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.reduction import reduce


def margin_ranking(
    x1: Tensor, x2: Tensor, target: Tensor, margin: float = 0.0, reduction: str = "mean"
) -> tuple[Tensor, tuple[Tensor, Tensor, float]]:
    """Asks that the right one is the larger by a margin: l = max(0, gap),   gap = margin - t (x1 - x2)."""
    gap = margin - target * (x1 - x2)
    loss, share = reduce(gap.clamp(min=0), reduction)
    return loss, (gap, target, share)


def margin_ranking_backward(
    grad: Tensor | float, saved: tuple[Tensor, Tensor, float]
) -> tuple[Tensor, Tensor]:
    """dl/dx1 = -t where gap >= 0, else 0,   dl/dx2 = -dl/dx1."""
    gap, target, share = saved
    slope = torch.where(gap >= 0, target, 0)  # l = max(0, gap), gap = margin - t (x1 - x2)
    return -grad * share * slope, grad * share * slope
