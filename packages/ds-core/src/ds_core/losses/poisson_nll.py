"""PoissonNLLLoss: how many times something happens."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.kernels import dispatch
from ds_core.losses.loss import Reduction
from ds_core.losses.pointwise_loss import PointwiseLoss
from ds_core.module import InputGrad

poisson_nll, poisson_nll_backward = dispatch(functional.poisson_nll, half=torch.float32)


@final
class PoissonNLLLoss(PointwiseLoss):
    """Takes the expected number of events, or its logarithm, and asks how likely the count is that came.

    l = exp(x) - t x,           dl/dx = exp(x) - t             where x is the logarithm
    l = x - t log(x + eps),     dl/dx = 1 - t / (x + eps)      where x is the number itself

    Args:
        log_input: whether x is the logarithm.
        full: adds log t!, where t > 1, by Stirling's formula t log t - t + log(2 pi t) / 2.
        eps: keeps the logarithm of 0 finite, where x is the number itself.
        reduction: "mean", "sum" or "none".

    Shape:
        x and target: the same, any -> scalar (or that shape for "none").

    Raises:
        ValueError: if eps is negative, or the shapes differ.

    Source: McCullagh and Nelder, Generalized Linear Models (1989), chapter 6.
    """

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        *,
        eps: float = 1e-8,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        if not eps >= 0:
            raise ValueError(f"PoissonNLLLoss: expected eps to be 0 or more, got {eps}")
        self.log_input, self.full, self.eps = log_input, full, eps

    def forward(self, log_input: Tensor, target: Tensor) -> Tensor:
        target = self.checked(log_input, target)
        loss, saved = poisson_nll(log_input, target, self.log_input, self.full, self.eps, self.reduction)
        self.save(saved)
        return loss

    def backward(self, grad: Tensor | float = 1.0) -> InputGrad:
        (saved,) = self.saved()
        return poisson_nll_backward(grad, saved)

    def extra_repr(self) -> str:
        shown = [f"log_input={self.log_input}", *(["full=True"] if self.full else []), super().extra_repr()]
        return ", ".join(part for part in shown if part)
