"""BCELoss: how surprised a probability is by what happened."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.losses.loss import Reduction
from ds_core.losses.pointwise_loss import PointwiseLoss


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

    def values(self, input: Tensor, target: Tensor) -> Tensor:
        low, high = (float(end) for end in input.detach().aminmax()) if input.numel() else (0.0, 1.0)
        if not (low >= 0 and high <= 1):  # so written, NaN is refused too
            raise ValueError(
                f"{self.label()}: expected probabilities from 0 to 1, got numbers from {low:g} to {high:g}; "
                "for scores there is BCEWithLogitsLoss"
            )
        values = (target - 1) * _log(1 - input) - target * _log(input)
        return values if self.weight is None else values * self.weight

    def slope(self, input: Tensor, target: Tensor) -> Tensor:
        slope = (input - target).div_(((1 - input) * input).clamp_(min=1e-12))
        return slope if self.weight is None else slope.mul_(self.weight)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Returns the outputs, which are probabilities."""
        return outputs


def _log(x: Tensor) -> Tensor:
    """Returns log x, but at least -100."""
    if not torch.is_grad_enabled():
        return x.log().clamp_(min=-100)
    zero = x == 0  # kept from the tape, which would multiply an infinite slope by 0
    return x.masked_fill(zero, 1).log().clamp(min=-100).masked_fill(zero, -100)
