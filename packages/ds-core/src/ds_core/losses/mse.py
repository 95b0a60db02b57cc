"""MSELoss: the mean of squared errors."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.kernels import dispatch
from ds_core.losses.pointwise_loss import PointwiseLoss
from ds_core.module import InputGrad

mse, mse_backward = dispatch(functional.mse, half=torch.float32)


@final
class MSELoss(PointwiseLoss):
    """Squares the difference between prediction and target.

    l = (x - t)^2,   dl/dx = 2 (x - t)

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        prediction and target: the same, any -> scalar (or that shape for "none").

    Raises:
        ValueError: if the shapes differ: broadcasting here is nearly always a mistake.
        TypeError: if the prediction is not floating point, or the target is of another floating point type.

    Source: Legendre, Nouvelles méthodes pour la détermination des orbites des comètes (1805).
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        loss, saved = mse(input, self.checked(input, target), self.reduction)
        self.save(saved)
        return loss

    def backward(self, grad: Tensor | float = 1.0) -> InputGrad:
        (saved,) = self.saved()
        return mse_backward(grad, saved)
