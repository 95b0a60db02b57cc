"""LogSoftmax: numbers to the logarithms of probabilities."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.activations.along_dim import AlongDim
from ds_core.kernels import dispatch
from ds_core.module import InputGrad

log_softmax, log_softmax_backward = dispatch(functional.log_softmax, half=torch.float32)


@final
class LogSoftmax(AlongDim):
    """Takes the logarithm of the softmax, without ever taking that of a rounded 0.

    y_i = x_i - log sum_j exp(x_j),   dL/dx_i = g_i - exp(y_i) sum_j g_j

    Args:
        dim: the dimension along which the probabilities sum to 1; None as in :class:`Softmax`.

    Shape:
        any -> the same.

    Raises:
        TypeError: if x is not floating point.
        IndexError: if x has no dimension ``dim``.

    Source: Goodfellow, Bengio, Courville, Deep Learning (2016), section 6.2.2.3.
    """

    def forward(self, input: Tensor) -> Tensor:
        y, saved = log_softmax(input, self.checked_dim(input))
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return log_softmax_backward(grad, saved) if self.input_grad else None
