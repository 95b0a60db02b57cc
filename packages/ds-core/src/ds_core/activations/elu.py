"""ELU: the exponential linear unit."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.activations.activation import Activation
from ds_core.kernels import dispatch
from ds_core.module import InputGrad

elu, elu_backward = dispatch(functional.elu, half=torch.float32)


@final
class ELU(Activation):
    """Bends towards -alpha below zero.

    y = x where x > 0, else a (exp(x) - 1);   dL/dx = g where x > 0, else a exp(x) g

    Args:
        alpha: a.
        inplace: the result also replaces the input.

    Source: Clevert, Unterthiner, Hochreiter, Exponential Linear Units (2015).
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        y, saved = elu(self.checked(input), self.alpha)
        self.save(saved)
        return self.placed(y, input)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return elu_backward(grad, saved) if self.input_grad else None

    def extra_repr(self) -> str:
        return ", ".join(part for part in (f"alpha={self.alpha}", super().extra_repr()) if part)
