"""Softshrink: numbers move towards zero, and small ones become it."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.activations.activation import Activation
from ds_core.checks import check_floating
from ds_core.kernels import dispatch
from ds_core.module import InputGrad

softshrink, softshrink_backward = dispatch(functional.softshrink, half=torch.float32)


@final
class Softshrink(Activation):
    """Moves each number towards zero, but not beyond.

    y = x - c sign(x) where |x| > c, else 0;   dL/dx = g where |x| > c, else 0

    Args:
        lambd: c.

    Raises:
        ValueError: if c is negative.

    Source: Donoho, De-noising by Soft-thresholding (1995).
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        if not lambd >= 0:
            raise ValueError(f"Softshrink: expected lambd to be 0 or more, got {lambd}")
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        check_floating(self, input)
        y, saved = softshrink(input, self.lambd)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return softshrink_backward(grad, saved) if self.input_grad else None

    def extra_repr(self) -> str:
        return f"lambd={self.lambd}"
