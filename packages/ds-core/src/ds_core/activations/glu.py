"""GLU: one half of the numbers gates the other."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.checks import check_floating, shape
from ds_core.kernels import dispatch
from ds_core.module import InputGrad, Module

glu, glu_backward = dispatch(functional.glu, half=torch.float32)


@final
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

    def forward(self, input: Tensor) -> Tensor:
        check_floating(self, input)
        if not -input.dim() <= self.dim < input.dim() or input.shape[self.dim] % 2:
            raise ValueError(
                f"{self.label()}: expected an even dimension {self.dim}, got shape {shape(input)}"
            )
        y, saved = glu(input, self.dim)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return glu_backward(grad, saved) if self.input_grad else None

    def extra_repr(self) -> str:
        return "" if self.dim == -1 else f"dim={self.dim}"
