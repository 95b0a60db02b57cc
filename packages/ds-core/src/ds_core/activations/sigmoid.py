"""Sigmoid: any number to one between 0 and 1."""

from __future__ import annotations

from torch import Tensor

from ds_core.activations.activation import Activation
from ds_core.functional.activations import sigmoid, sigmoid_backward


class Sigmoid(Activation):
    """Squeezes each number between 0 and 1.

    y = 1 / (1 + exp(-x)),   dL/dx = g y (1 - y)

    Source: Goodfellow, Bengio, Courville, Deep Learning (2016), section 3.10.
    """

    def __init__(self) -> None:
        super().__init__()

    def function(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = sigmoid(x)
        return y, y

    def function_backward(self, grad: Tensor, kept: Tensor) -> Tensor:
        return sigmoid_backward(grad, kept)
