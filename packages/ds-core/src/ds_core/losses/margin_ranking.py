"""MarginRankingLoss: which of two scores should be the larger."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.checks import shape
from ds_core.kernels import dispatch
from ds_core.losses.loss import Reduction
from ds_core.losses.margin_loss import MarginLoss
from ds_core.module import InputGrad

margin_ranking, margin_ranking_backward = dispatch(functional.margin_ranking, half=torch.float32)


@final
class MarginRankingLoss(MarginLoss):
    """Asks that the right one of two scores is the larger by a margin.

    l = max(0, margin - t (x1 - x2)),   dl/dx1 = -t where l > 0, else 0,   dl/dx2 = -dl/dx1

    Args:
        margin: by how much.
        reduction: "mean", "sum" or "none".

    Shape:
        x1, x2 and the target t (1 where x1 should be larger, -1 where x2 should): the same, any -> scalar
        (or that shape for "none"). The gradient is a pair, for x1 and x2.

    Raises:
        ValueError: if the shapes differ.
        TypeError: if x1 and x2 are not of one floating point type.

    Source: Herbrich, Graepel, Obermayer, Large Margin Rank Boundaries for Ordinal Regression (2000).
    """

    def __init__(self, margin: float = 0.0, reduction: Reduction = "mean") -> None:
        super().__init__(margin, reduction)

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        self.check_alike(input1, input2)
        if target.shape != input1.shape:
            raise ValueError(
                f"{self.label()}: expected a target of the inputs' shape {shape(input1)}, got {shape(target)}"
            )
        target = target.to(input1.dtype)
        loss, saved = margin_ranking(input1, input2, target, self.margin, self.reduction)
        self.save(saved)
        return loss

    def backward(self, grad: Tensor | float = 1.0) -> InputGrad:
        (saved,) = self.saved()
        return margin_ranking_backward(grad, saved)
