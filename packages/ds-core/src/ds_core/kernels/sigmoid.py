"""Sigmoid on a processor: one power of two, in place."""

from __future__ import annotations

from torch import Tensor

from ds_core.functional.sigmoid import sigmoid
from ds_core.kernels import elementary, kernel


@kernel(sigmoid)
class SigmoidKernel:
    """y = 1 / (1 + 2^(-x log2 e))."""

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        y = elementary.sigmoid(x)
        return y, y

    @staticmethod
    def backward(grad: Tensor, saved: Tensor) -> Tensor:
        grad_x = grad * saved
        return grad_x.addcmul_(grad_x, saved, value=-1)
