"""FocalLoss: the binary cross-entropy that stops caring about what is already easy."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.kernels import dispatch
from ds_core.losses.loss import Reduction
from ds_core.losses.pointwise_loss import PointwiseLoss
from ds_core.module import InputGrad

focal, focal_backward = dispatch(functional.focal, half=torch.float32)
sigmoid, _ = dispatch(functional.sigmoid, half=torch.float32)


@final
class FocalLoss(PointwiseLoss):
    """Weighs the binary cross-entropy of a score by how wrong the score still is.

    With p = 1 / (1 + exp(-x)), the cross-entropy c = softplus(x) - t x, the probability given to the wrong
    answer q = p + t - 2 p t, and a = alpha t + (1 - alpha) (1 - t):

    l = a q^gamma c,   dl/dx = a (q^gamma (p - t) + gamma q^(gamma - 1) c p (1 - p) (1 - 2t))

    Args:
        alpha: how much a positive example counts, the others counting 1 - alpha; None: all count 1.
        gamma: how fast the weight falls; 0 gives back the cross-entropy.
        reduction: "mean", "sum" or "none". Detectors take the sum over the number of objects.

    Shape:
        x and target: the same, any -> scalar (or that shape for "none").

    Raises:
        ValueError: if alpha is not from 0 to 1, gamma is negative, or the shapes differ.

    Source: Lin et al., Focal Loss for Dense Object Detection (2017), equation 5.
    """

    def __init__(self, alpha: float | None = 0.25, gamma: float = 2.0, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        if alpha is not None and not 0 <= alpha <= 1:
            raise ValueError(f"FocalLoss: expected alpha from 0 to 1 or None, got {alpha}")
        if gamma < 0:
            raise ValueError(f"FocalLoss: expected gamma to be 0 or more, got {gamma}")
        self.alpha, self.gamma = alpha, gamma

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        loss, saved = focal(input, self.checked(input, target), self.alpha, self.gamma, self.reduction)
        self.save(saved)
        return loss

    def backward(self, grad: Tensor | float = 1.0) -> InputGrad:
        (saved,) = self.saved()
        return focal_backward(grad, saved)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Returns the probabilities that scores stand for: their sigmoid."""
        p: Tensor = sigmoid(outputs)[0]
        return p

    def extra_repr(self) -> str:
        parts = [f"alpha={self.alpha}", f"gamma={self.gamma}", super().extra_repr()]
        return ", ".join(part for part in parts if part)
