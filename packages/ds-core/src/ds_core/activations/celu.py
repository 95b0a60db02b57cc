"""CELU: the exponential linear unit whose slope has no jump."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.activations.activation import Activation
from ds_core.kernels import dispatch
from ds_core.module import InputGrad

celu, celu_backward = dispatch(functional.celu, half=torch.float32)


@final
class CELU(Activation):
    """Bends towards -alpha below zero, and meets the line at zero with its slope, whatever alpha is.

    y = x where x > 0, else a (exp(x / a) - 1);   dL/dx = g where x > 0, else exp(x / a) g

    Args:
        alpha: a.
        inplace: the result also replaces the input.

    Raises:
        ValueError: if a is 0.

    Source: Barron, Continuously Differentiable Exponential Linear Units (2017).
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        if alpha == 0:
            raise ValueError("CELU: expected an alpha other than 0, by which x is divided")
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        y, saved = celu(self.checked(input), self.alpha)
        self.save(saved)
        return self.placed(y, input)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return celu_backward(grad, saved) if self.input_grad else None

    def extra_repr(self) -> str:
        return ", ".join(part for part in (f"alpha={self.alpha}", super().extra_repr()) if part)
