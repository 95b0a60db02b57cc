"""HuberLoss and SmoothL1Loss: squared near the target, straight further off."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.kernels import dispatch
from ds_core.losses.loss import Reduction
from ds_core.losses.pointwise_loss import PointwiseLoss
from ds_core.module import InputGrad

huber, huber_backward = dispatch(functional.huber, half=torch.float32)
smooth_l1, smooth_l1_backward = dispatch(functional.smooth_l1, half=torch.float32)


@final
class HuberLoss(PointwiseLoss):
    """Squares small errors and takes large ones as they are, so that outliers pull no harder than others.

    With a = |x - t| and m = min(a, delta):

    l = m (a - m / 2),   dl/dx = x - t, cut off at -delta and delta

    Args:
        reduction: "mean", "sum" or "none".
        delta: the error from which on l is a straight line.

    Shape:
        prediction and target: the same, any -> scalar (or that shape for "none").

    Raises:
        ValueError: if delta is not positive, or the shapes differ.

    Source: Huber, Robust Estimation of a Location Parameter (1964).
    """

    def __init__(self, reduction: Reduction = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        if not delta > 0:
            raise ValueError(f"HuberLoss: expected a positive delta, got {delta}")
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        loss, saved = huber(input, self.checked(input, target), self.delta, self.reduction)
        self.save(saved)
        return loss

    def backward(self, grad: Tensor | float = 1.0) -> InputGrad:
        (saved,) = self.saved()
        return huber_backward(grad, saved)

    def extra_repr(self) -> str:
        return ", ".join(part for part in (super().extra_repr(), f"delta={self.delta}") if part)


@final
class SmoothL1Loss(PointwiseLoss):
    """Measures the distance to the target, with its kink rounded off: the Huber loss divided by beta.

    With a = |x - t| and m = min(a, beta):

    l = m (a - m / 2) / beta,   dl/dx = (x - t) / beta, cut off at -1 and 1;   for beta = 0, l = a

    Args:
        reduction: "mean", "sum" or "none".
        beta: the error from which on l is a straight line of slope 1.

    Shape:
        prediction and target: the same, any -> scalar (or that shape for "none").

    Raises:
        ValueError: if beta is negative, or the shapes differ.

    Source: Girshick, Fast R-CNN (2015), equation 3.
    """

    def __init__(self, reduction: Reduction = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        if beta < 0:
            raise ValueError(f"SmoothL1Loss: expected beta to be 0 or more, got {beta}")
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        loss, saved = smooth_l1(input, self.checked(input, target), self.beta, self.reduction)
        self.save(saved)
        return loss

    def backward(self, grad: Tensor | float = 1.0) -> InputGrad:
        (saved,) = self.saved()
        return smooth_l1_backward(grad, saved)

    def extra_repr(self) -> str:
        return ", ".join(part for part in (super().extra_repr(), f"beta={self.beta}") if part)
