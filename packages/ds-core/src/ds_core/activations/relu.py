"""ReLU: the rectifier."""

from __future__ import annotations

from typing import final

from torch import Tensor

from ds_core import functional
from ds_core.activations.activation import Activation
from ds_core.kernels import dispatch
from ds_core.module import InputGrad

relu, relu_backward = dispatch(functional.relu)


@final
class ReLU(Activation):
    """Cuts off below zero.

    y = max(x, 0),   dL/dx = g where y > 0, else 0

    Source: Nair and Hinton, Rectified Linear Units Improve Restricted Boltzmann Machines (2010).
    """

    def forward(self, input: Tensor) -> Tensor:
        y, saved = relu(self.checked(input))
        self.save(saved)
        return self.placed(y, input)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return relu_backward(grad, saved) if self.input_grad else None
