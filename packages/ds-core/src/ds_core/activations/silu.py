"""SiLU: the sigmoid-weighted linear unit, also called swish."""

from __future__ import annotations

from torch import Tensor

from ds_core.activations.activation import Activation
from ds_core.functional.activations import silu, silu_with_slope


class SiLU(Activation):
    """Weights each number by its own sigmoid.

    y = x s,   dL/dx = g (s + y (1 - s)),   s = 1 / (1 + exp(-x))

    Source: Elfwing, Uchibe, Doya, Sigmoid-Weighted Linear Units (2017).
    """

    def function(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return silu_with_slope(x) if self.recording else (silu(x), x)

    def function_backward(self, grad: Tensor, kept: Tensor) -> Tensor:
        return kept.mul_(grad)
