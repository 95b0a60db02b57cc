"""LogSigmoid: the logarithm of a probability, from its score."""

from __future__ import annotations

from torch import Tensor

from ds_core.activations.activation import Activation
from ds_core.functional.activations import log_sigmoid, log_sigmoid_backward


class LogSigmoid(Activation):
    """Takes the logarithm of the sigmoid, without ever taking that of a rounded 0.

    y = -log(1 + exp(-x)),   dL/dx = g / (1 + exp(x))

    Source: Goodfellow, Bengio, Courville, Deep Learning (2016), section 3.10.
    """

    def __init__(self) -> None:
        super().__init__()

    def function(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return log_sigmoid(x), x

    def function_backward(self, grad: Tensor, kept: Tensor) -> Tensor:
        return log_sigmoid_backward(grad, kept)
