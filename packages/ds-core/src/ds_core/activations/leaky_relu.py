"""LeakyReLU: the rectifier that lets a little through."""

from __future__ import annotations

from torch import Tensor

from ds_core.activations.activation import Activation
from ds_core.functional.activations import leaky_relu, leaky_relu_backward


class LeakyReLU(Activation):
    """Scales what is below zero.

    y = x where x > 0, else s x;   dL/dx = g where x > 0, else s g

    Args:
        negative_slope: s.
        inplace: the result also replaces the input.

    Source: Maas, Hannun, Ng, Rectifier Nonlinearities Improve Neural Network Acoustic Models (2013).
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = negative_slope

    def function(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return leaky_relu(x, self.negative_slope), x

    def function_backward(self, grad: Tensor, kept: Tensor) -> Tensor:
        return leaky_relu_backward(grad, kept, self.negative_slope)

    def extra_repr(self) -> str:
        return ", ".join(
            part for part in (f"negative_slope={self.negative_slope}", super().extra_repr()) if part
        )
