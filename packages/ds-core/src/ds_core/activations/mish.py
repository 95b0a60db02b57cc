"""Mish: a smooth gate much like SiLU's."""

from __future__ import annotations

from torch import Tensor

from ds_core.activations.activation import Activation
from ds_core.functional.activations import mish, mish_with_slope


class Mish(Activation):
    """Weights each number by tanh(softplus(x)).

    y = x n / (n + 2),   dL/dx = g (n / (n + 2) + 4 x e (e + 1) / (n + 2)^2),   e = exp(x),   n = e (e + 2)

    Source: Misra, Mish: A Self Regularized Non-Monotonic Activation Function (2019).
    """

    def function(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return mish_with_slope(x) if self.recording else (mish(x), x)

    def function_backward(self, grad: Tensor, kept: Tensor) -> Tensor:
        return kept.mul_(grad)
