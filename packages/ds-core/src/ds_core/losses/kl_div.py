"""KLDivLoss: how far one distribution is from another."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ds_core.functional.elementary import exp
from ds_core.losses.pointwise_loss import PointwiseLoss


class KLDivLoss(PointwiseLoss):
    """Takes log probabilities and the distribution they should have been.

    l = t (log t - x), with 0 log 0 = 0;   dl/dx = -t

    Args:
        reduction: "batchmean" (the sum over the size of the first dimension: the divergence itself, averaged
            over a batch), "mean" (over every number), "sum" or "none".
        log_target: whether the target, too, holds logarithms.

    Shape:
        x and target: the same, any -> scalar (or that shape for "none").

    Raises:
        ValueError: if the shapes differ.

    Source: Kullback and Leibler, On Information and Sufficiency (1951).
    """

    reductions = ("mean", "batchmean", "sum", "none")

    def __init__(
        self,
        reduction: Literal["mean", "batchmean", "sum", "none"] = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__(reduction)
        self.log_target = log_target

    def values(self, input: Tensor, target: Tensor) -> Tensor:
        if self.log_target:
            return exp(target) * (target - input)
        log_target = target.clamp(min=torch.finfo(target.dtype).tiny).log()
        return target * (log_target - input)

    def slope(self, input: Tensor, target: Tensor) -> Tensor:
        return exp(target).neg_() if self.log_target else -target

    def count(self, input: Tensor) -> int:
        return input.shape[0] if self.reduction == "batchmean" and input.dim() else input.numel()

    def extra_repr(self) -> str:
        log_target = "log_target=True" if self.log_target else ""
        return ", ".join(part for part in (super().extra_repr(), log_target) if part)
