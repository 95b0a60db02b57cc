"""Softmin: numbers to probabilities, the smallest to the largest."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.activations.along_dim import AlongDim
from ds_core.kernels import dispatch
from ds_core.module import InputGrad

softmin, softmin_backward = dispatch(functional.softmin, half=torch.float32)


@final
class Softmin(AlongDim):
    """Turns the numbers along a dimension into probabilities, the smallest into the largest: Softmax of -x.

    y_i = exp(-x_i) / sum_j exp(-x_j),   dL/dx_i = -y_i (g_i - sum_j g_j y_j)

    Args:
        dim: the dimension that sums to 1; None as in :class:`Softmax`.

    Shape:
        any -> the same.

    Raises:
        TypeError: if x is not floating point.
        IndexError: if x has no dimension ``dim``.

    Source: Goodfellow, Bengio, Courville, Deep Learning (2016), section 6.2.2.3.
    """

    def forward(self, input: Tensor) -> Tensor:
        y, saved = softmin(input, self.checked_dim(input))
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return softmin_backward(grad, saved) if self.input_grad else None
