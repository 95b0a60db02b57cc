"""Softmax: numbers to probabilities."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.activations.along_dim import AlongDim
from ds_core.kernels import dispatch
from ds_core.module import InputGrad

softmax, softmax_backward = dispatch(functional.softmax, half=torch.float32)


@final
class Softmax(AlongDim):
    """Turns the numbers along a dimension into probabilities.

    y_i = exp(x_i) / sum_j exp(x_j),   dL/dx_i = y_i (g_i - sum_j g_j y_j)

    Args:
        dim: the dimension that sums to 1. None, torch.nn's old default, takes 0 for inputs of 0, 1 or 3
            dimensions and 1 for others, with a warning.

    Shape:
        any -> the same.

    Raises:
        TypeError: if x is not floating point.
        IndexError: if x has no dimension ``dim``.

    Source: Goodfellow, Bengio, Courville, Deep Learning (2016), section 6.2.2.3.
    """

    def forward(self, input: Tensor) -> Tensor:
        y, saved = softmax(input, self.checked_dim(input))
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return softmax_backward(grad, saved) if self.input_grad else None
