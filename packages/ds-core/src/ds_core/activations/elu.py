"""ELU: the exponential linear unit."""

from __future__ import annotations

from torch import Tensor

from ds_core.activations.activation import Activation
from ds_core.functional.activations import elu, elu_backward


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

    def function(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return elu(x, self.alpha), x

    def function_backward(self, grad: Tensor, kept: Tensor) -> Tensor:
        return elu_backward(grad, kept, self.alpha)

    def extra_repr(self) -> str:
        return ", ".join(part for part in (f"alpha={self.alpha}", super().extra_repr()) if part)
