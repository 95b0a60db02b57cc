"""SiLU: the sigmoid-weighted linear unit, also called swish."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.activations.activation import Activation
from ds_core.kernels import dispatch
from ds_core.module import InputGrad

silu, silu_backward = dispatch(functional.silu, half=torch.float32)


@final
class SiLU(Activation):
    """Weights each number by its own sigmoid.

    y = x s,   dL/dx = g (s + y (1 - s)),   s = 1 / (1 + exp(-x))

    Source: Elfwing, Uchibe, Doya, Sigmoid-Weighted Linear Units (2017).
    """

    def forward(self, input: Tensor) -> Tensor:
        y, saved = silu(self.checked(input), keep=self.recording)
        self.save(saved)
        return self.placed(y, input)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return silu_backward(grad, saved) if self.input_grad else None
