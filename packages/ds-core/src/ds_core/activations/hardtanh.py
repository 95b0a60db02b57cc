"""Hardtanh: tanh drawn with straight lines."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.activations.activation import Activation
from ds_core.kernels import dispatch
from ds_core.module import InputGrad

hardtanh, hardtanh_backward = dispatch(functional.hardtanh, half=torch.float32)


@final
class Hardtanh(Activation):
    """Cuts off below a and above b.

    y = min(max(x, a), b),   dL/dx = g where a < x < b, else 0

    Args:
        min_val: a.
        max_val: b.
        inplace: the result also replaces the input.

    Raises:
        ValueError: if b is not above a.

    Source: Collobert, Large Scale Machine Learning (2004).
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        if not min_val < max_val:
            raise ValueError(f"Hardtanh: expected min_val below max_val, got {min_val} and {max_val}")
        self.min_val, self.max_val = min_val, max_val

    def forward(self, input: Tensor) -> Tensor:
        y, saved = hardtanh(self.checked(input), self.min_val, self.max_val)
        self.save(saved)
        return self.placed(y, input)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return hardtanh_backward(grad, saved) if self.input_grad else None

    def extra_repr(self) -> str:
        return ", ".join(
            part for part in (f"min_val={self.min_val}, max_val={self.max_val}", super().extra_repr()) if part
        )
