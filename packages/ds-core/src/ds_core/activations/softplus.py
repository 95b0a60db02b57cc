"""Softplus: the smooth rectifier."""

from __future__ import annotations

from torch import Tensor

from ds_core.activations.activation import Activation
from ds_core.functional.activations import softplus, softplus_backward


class Softplus(Activation):
    """Is a rectifier without the kink; beyond the threshold, where the two agree, it is the rectifier.

    y = log(1 + exp(b x)) / b,   dL/dx = g / (1 + exp(-b x));   where b x > threshold: y = x, dL/dx = g

    Args:
        beta: b, how sharp the bend is.
        threshold: from which b x on the result is x itself.

    Source: Dugas et al., Incorporating Second-Order Functional Knowledge (2000).
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def function(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return softplus(x, self.beta, self.threshold), x

    def function_backward(self, grad: Tensor, kept: Tensor) -> Tensor:
        return softplus_backward(grad, kept, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"
