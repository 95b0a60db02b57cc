"""Tanh: any number to one between -1 and 1."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.activations.activation import Activation
from ds_core.checks import check_floating
from ds_core.kernels import dispatch
from ds_core.module import InputGrad

tanh, tanh_backward = dispatch(functional.tanh, half=torch.float32)


@final
class Tanh(Activation):
    """Squeezes each number between -1 and 1.

    y = tanh(x),   dL/dx = g (1 - y^2)

    Source: LeCun et al., Efficient BackProp (1998), section 4.4.
    """

    def __init__(self) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        check_floating(self, input)
        y, saved = tanh(input)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return tanh_backward(grad, saved) if self.input_grad else None
