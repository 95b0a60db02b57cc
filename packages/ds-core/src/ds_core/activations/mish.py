"""Mish: a smooth gate much like SiLU's."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.activations.activation import Activation
from ds_core.kernels import dispatch
from ds_core.module import InputGrad

mish, mish_backward = dispatch(functional.mish, half=torch.float32)


@final
class Mish(Activation):
    """Weights each number by tanh(softplus(x)).

    y = x n / (n + 2),   dL/dx = g (n / (n + 2) + 4 x e (e + 1) / (n + 2)^2),   e = exp(x),   n = e (e + 2)

    Source: Misra, Mish: A Self Regularized Non-Monotonic Activation Function (2019).
    """

    def forward(self, input: Tensor) -> Tensor:
        y, saved = mish(self.checked(input), keep=self.recording)
        self.save(saved)
        return self.placed(y, input)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return mish_backward(grad, saved) if self.input_grad else None
