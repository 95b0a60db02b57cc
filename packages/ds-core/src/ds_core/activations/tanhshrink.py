"""Tanhshrink: what a number has beyond its tanh."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.activations.activation import Activation
from ds_core.checks import check_floating
from ds_core.kernels import dispatch
from ds_core.module import InputGrad

tanhshrink, tanhshrink_backward = dispatch(functional.tanhshrink, half=torch.float32)


@final
class Tanhshrink(Activation):
    """Takes away the tanh: almost everything near zero, and 1 far from it.

    y = x - tanh(x),   dL/dx = g tanh(x)^2

    Source: the nn package of Torch7 (Collobert, Kavukcuoglu, Farabet, 2011).
    """

    def __init__(self) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        check_floating(self, input)
        y, saved = tanhshrink(input)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return tanhshrink_backward(grad, saved) if self.input_grad else None
