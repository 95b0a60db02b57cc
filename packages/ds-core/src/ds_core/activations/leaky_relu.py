"""LeakyReLU: the rectifier that lets a little through."""

from __future__ import annotations

from typing import final

from torch import Tensor

from ds_core import functional
from ds_core.activations.activation import Activation
from ds_core.kernels import dispatch
from ds_core.module import InputGrad

leaky_relu, leaky_relu_backward, leaky_relu_second_backward = dispatch(functional.leaky_relu, second=True)


@final
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

    def forward(self, input: Tensor) -> Tensor:
        y, saved = leaky_relu(self.checked(input), self.negative_slope)
        self.save(saved)
        return self.placed(y, input)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return leaky_relu_backward(grad, saved) if self.input_grad else None

    def second_backward(self, grad_grad: Tensor) -> Tensor:
        grad, saved = self.kept_for_second()
        grad_of_grad: Tensor = leaky_relu_second_backward(grad_grad, grad, saved)
        self.save_again(saved, grad_x=None)
        return grad_of_grad

    def extra_repr(self) -> str:
        return ", ".join(
            part for part in (f"negative_slope={self.negative_slope}", super().extra_repr()) if part
        )
