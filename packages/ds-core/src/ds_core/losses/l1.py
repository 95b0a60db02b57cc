"""L1Loss: the mean of absolute errors."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.kernels import dispatch
from ds_core.losses.pointwise_loss import PointwiseLoss
from ds_core.module import InputGrad

l1, l1_backward = dispatch(functional.l1, half=torch.float32)


@final
class L1Loss(PointwiseLoss):
    """Takes the distance between prediction and target.

    l = |x - t|,   dl/dx = sign(x - t)

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        prediction and target: the same, any -> scalar (or that shape for "none").

    Raises:
        ValueError: if the shapes differ.
        TypeError: if the prediction is not floating point, or the target is of another floating point type.

    Source: Bishop, Pattern Recognition and Machine Learning (2006), section 1.5.5.
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        loss, saved = l1(input, self.checked(input, target), self.reduction)
        self.save(saved)
        return loss

    def backward(self, grad: Tensor | float = 1.0) -> InputGrad:
        (saved,) = self.saved()
        return l1_backward(grad, saved)
