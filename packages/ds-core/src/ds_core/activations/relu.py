"""ReLU: the rectifier."""

from __future__ import annotations

from torch import Tensor

from ds_core.activations.activation import Activation
from ds_core.functional.activations import relu, relu_backward


class ReLU(Activation):
    """Cuts off below zero.

    y = max(x, 0),   dL/dx = g where y > 0, else 0

    Source: Nair and Hinton, Rectified Linear Units Improve Restricted Boltzmann Machines (2010).
    """

    def function(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = relu(x)
        return y, y

    def function_backward(self, grad: Tensor, kept: Tensor) -> Tensor:
        return relu_backward(grad, kept)
