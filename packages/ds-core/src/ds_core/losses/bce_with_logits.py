"""BCEWithLogitsLoss: the binary cross-entropy of a score."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.kernels import dispatch
from ds_core.losses.loss import Reduction
from ds_core.losses.pointwise_loss import PointwiseLoss
from ds_core.module import InputGrad

bce_with_logits, bce_with_logits_backward = dispatch(functional.bce_with_logits, half=torch.float32)
sigmoid, _ = dispatch(functional.sigmoid, half=torch.float32)


@final
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

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        loss, saved = bce_with_logits(
            input, self.checked(input, target), self.weight, self.pos_weight, self.reduction
        )
        self.save(saved)
        return loss

    def backward(self, grad: Tensor | float = 1.0) -> InputGrad:
        (saved,) = self.saved()
        return bce_with_logits_backward(grad, saved)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Returns the probabilities that scores stand for: their sigmoid."""
        p: Tensor = sigmoid(outputs)[0]
        return p
