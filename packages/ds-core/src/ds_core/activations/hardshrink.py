"""Hardshrink: small numbers become zero."""

from __future__ import annotations

from typing import final

from torch import Tensor

from ds_core import functional
from ds_core.activations.activation import Activation
from ds_core.checks import check_floating
from ds_core.kernels import dispatch
from ds_core.module import InputGrad

hardshrink, hardshrink_backward = dispatch(functional.hardshrink)


@final
class Hardshrink(Activation):
    """Sets numbers near zero to zero, and leaves the others.

    y = x where |x| > c, else 0;   dL/dx = g where |x| > c, else 0

    Args:
        lambd: c.

    Source: Donoho and Johnstone, Ideal Spatial Adaptation by Wavelet Shrinkage (1994).
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        check_floating(self, input)
        y, saved = hardshrink(input, self.lambd)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return hardshrink_backward(grad, saved) if self.input_grad else None

    def extra_repr(self) -> str:
        return f"lambd={self.lambd}"
