"""BCELoss: how surprised a probability is by what happened."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.kernels import dispatch
from ds_core.losses.loss import Reduction
from ds_core.losses.pointwise_loss import PointwiseLoss
from ds_core.module import InputGrad

bce, bce_backward = dispatch(functional.bce, half=torch.float32)


@final
class BCELoss(PointwiseLoss):
    """Takes the probability of a yes and what was right: 1, 0, or a probability.

    l = -w (t log x + (1 - t) log(1 - x)),   dl/dx = w (x - t) / (x (1 - x))

    A logarithm counts no less than -100 and x (1 - x) no less than 1e-12, as in torch.nn, so that a
    prediction of exactly 0 or 1 has a finite loss. BCEWithLogitsLoss needs neither.

    Args:
        weight: w, broadcast over the values; None for 1.
        reduction: "mean", "sum" or "none".

    Shape:
        x and target: the same, any -> scalar (or that shape for "none").

    Raises:
        ValueError: if x is not from 0 to 1, or the shapes differ.

    Source: Goodfellow, Bengio, Courville, Deep Learning (2016), section 6.2.2.2.
    """

    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        target = self.checked(input, target)
        self.check_probabilities(input)
        loss, saved = bce(input, target, self.weight, self.reduction)
        self.save(saved)
        return loss

    def backward(self, grad: Tensor | float = 1.0) -> InputGrad:
        (saved,) = self.saved()
        return bce_backward(grad, saved)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Returns the outputs, which are probabilities."""
        return outputs

    def check_probabilities(self, input: Tensor) -> None:
        """Checks that all numbers are from 0 to 1; skipped while ``torch.compile`` traces, which cannot look.

        Raises:
            ValueError: if one is not.
        """
        if input.numel() == 0 or torch.compiler.is_compiling():
            return
        low, high = torch.stack(input.detach().aminmax()).tolist()
        if not (low >= 0 and high <= 1):  # so written, NaN is refused too
            raise ValueError(
                f"{self.label()}: expected probabilities from 0 to 1, got numbers from {low:g} to {high:g}; "
                "for scores there is BCEWithLogitsLoss"
            )
