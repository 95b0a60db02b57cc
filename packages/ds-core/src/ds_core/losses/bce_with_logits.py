"""BCEWithLogitsLoss: the binary cross-entropy of a score."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.activations import sigmoid, softplus
from ds_core.losses.loss import Reduction
from ds_core.losses.pointwise_loss import PointwiseLoss


class BCEWithLogitsLoss(PointwiseLoss):
    """Takes a score (logit) and what was right: 1, 0, or a probability.

    With s(x) = 1 / (1 + exp(-x)), so that -log s(x) = softplus(-x) and -log(1 - s(x)) = softplus(x):

    l = w (q t softplus(-x) + (1 - t) softplus(x)),   dl/dx = w ((1 - t) s(x) - q t s(-x))

    With q = 1 these are w (softplus(x) - t x) and w (s(x) - t).

    Args:
        weight: w, broadcast over the values; None for 1.
        reduction: "mean", "sum" or "none".
        pos_weight: q, how much more a positive example counts, broadcast over the values; None for 1.

    Shape:
        x and target: the same, any -> scalar (or that shape for "none").

    Raises:
        ValueError: if the shapes differ.

    Source: Goodfellow, Bengio, Courville, Deep Learning (2016), section 6.2.2.2.
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        reduction: Reduction = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def values(self, input: Tensor, target: Tensor) -> Tensor:
        if self.pos_weight is None:
            values = softplus(input) - target * input
        else:  # softplus(x) = softplus(-x) + x
            values = (1 - target) * input + (1 + (self.pos_weight - 1) * target) * softplus(-input)
        return values if self.weight is None else values * self.weight

    def slope(self, input: Tensor, target: Tensor) -> Tensor:
        if self.pos_weight is None:
            slope = sigmoid(input).sub_(target)
        else:
            slope = (1 - target).sub_((1 + (self.pos_weight - 1) * target) * sigmoid(input, -1))
        return slope if self.weight is None else slope.mul_(self.weight)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Returns the probabilities that scores stand for: their sigmoid."""
        with torch.no_grad():
            return sigmoid(outputs)
