"""Sigmoid: any number to one between 0 and 1."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.activations.activation import Activation
from ds_core.checks import check_floating
from ds_core.kernels import dispatch
from ds_core.module import InputGrad

sigmoid, sigmoid_backward = dispatch(functional.sigmoid, half=torch.float32)


@final
class Sigmoid(Activation):
    """Squeezes each number between 0 and 1.

    y = 1 / (1 + exp(-x)),   dL/dx = g y (1 - y)

    Source: Goodfellow, Bengio, Courville, Deep Learning (2016), section 3.10.
    """

    def __init__(self) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        check_floating(self, input)
        y, saved = sigmoid(input)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return sigmoid_backward(grad, saved) if self.input_grad else None
