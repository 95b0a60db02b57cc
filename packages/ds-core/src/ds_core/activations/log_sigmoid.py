"""LogSigmoid: the logarithm of a probability, from its score."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.activations.activation import Activation
from ds_core.checks import check_floating
from ds_core.kernels import dispatch
from ds_core.module import InputGrad

log_sigmoid, log_sigmoid_backward = dispatch(functional.log_sigmoid, half=torch.float32)


@final
class LogSigmoid(Activation):
    """Takes the logarithm of the sigmoid, without ever taking that of a rounded 0.

    y = -log(1 + exp(-x)),   dL/dx = g / (1 + exp(x))

    Source: Goodfellow, Bengio, Courville, Deep Learning (2016), section 3.10.
    """

    def __init__(self) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        check_floating(self, input)
        y, saved = log_sigmoid(input)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return log_sigmoid_backward(grad, saved) if self.input_grad else None
