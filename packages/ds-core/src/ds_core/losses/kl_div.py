"""KLDivLoss: how far one distribution is from another."""

from __future__ import annotations

from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.kernels import dispatch
from ds_core.losses.pointwise_loss import PointwiseLoss
from ds_core.module import InputGrad

kl_div, kl_div_backward = dispatch(functional.kl_div, half=torch.float32)


@final
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

    reductions: ClassVar[tuple[str, ...]] = ("mean", "batchmean", "sum", "none")

    def __init__(
        self,
        reduction: Literal["mean", "batchmean", "sum", "none"] = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__(reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        loss, saved = kl_div(input, self.checked(input, target), self.log_target, self.reduction)
        self.save(saved)
        return loss

    def backward(self, grad: Tensor | float = 1.0) -> InputGrad:
        (saved,) = self.saved()
        return kl_div_backward(grad, saved)

    def extra_repr(self) -> str:
        log_target = "log_target=True" if self.log_target else ""
        return ", ".join(part for part in (super().extra_repr(), log_target) if part)
