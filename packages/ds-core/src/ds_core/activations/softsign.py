"""Softsign: the sign of a number, approached slowly."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.activations.activation import Activation
from ds_core.checks import check_floating
from ds_core.kernels import dispatch
from ds_core.module import InputGrad

softsign, softsign_backward = dispatch(functional.softsign, half=torch.float32)


@final
class Softsign(Activation):
    """Squeezes each number between -1 and 1, and reaches neither: infinity becomes NaN.

    y = x / (1 + |x|),   dL/dx = g / (1 + |x|)^2

    Source: Bergstra et al., Quadratic Polynomials Learn Better Image Features (2009).
    """

    def __init__(self) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        check_floating(self, input)
        y, saved = softsign(input)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return softsign_backward(grad, saved) if self.input_grad else None
