"""GLU: one half of the numbers gates the other."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.checks import check_floating, shape
from ds_core.functional.activations import sigmoid, sigmoid_backward
from ds_core.module import InputGrad, Module


class GLU(Module):
    """Splits a dimension into two halves and multiplies the first by the sigmoid of the second.

    y = a s,   s = 1 / (1 + exp(-b));   dL/da = g s,   dL/db = g a s (1 - s)

    Args:
        dim: the dimension to split.

    Shape:
        x ``(..., 2D, ...)`` -> y ``(..., D, ...)``.

    Raises:
        ValueError: if there is no dimension ``dim`` or its size is odd.
        TypeError: if x is not floating point.

    Source: Dauphin et al., Language Modeling with Gated Convolutional Networks (2016), equation 1.
    """

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        check_floating(self, x)
        if not -x.dim() <= self.dim < x.dim() or x.shape[self.dim] % 2:
            raise ValueError(f"{self.label()}: expected an even dimension {self.dim}, got shape {shape(x)}")
        a, b = x.chunk(2, self.dim)
        s = sigmoid(b)
        self.save(a, s)
        return a * s

    def backward(self, grad: Tensor) -> InputGrad:
        a, s = self.saved()
        if not self.input_grad:
            return None
        return torch.cat([grad * s, sigmoid_backward(grad * a, s)], self.dim)

    def extra_repr(self) -> str:
        return "" if self.dim == -1 else f"dim={self.dim}"
