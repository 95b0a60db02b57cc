"""Threshold: a number, or another in its place where it is too small."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.activations.activation import Activation
from ds_core.kernels import dispatch
from ds_core.module import InputGrad

threshold, threshold_backward = dispatch(functional.threshold, half=torch.float32)


@final
class Threshold(Activation):
    """Replaces what is not above a threshold.

    y = x where x > t, else v;   dL/dx = g where x > t, else 0

    Args:
        threshold: t.
        value: v.
        inplace: the result also replaces the input.

    Source: Konda, Memisevic, Krueger, Zero-bias Autoencoders (2014), with v = 0.
    """

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.threshold, self.value = threshold, value

    def forward(self, input: Tensor) -> Tensor:
        y, saved = threshold(self.checked(input), self.threshold, self.value)
        self.save(saved)
        return self.placed(y, input)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return threshold_backward(grad, saved) if self.input_grad else None

    def extra_repr(self) -> str:
        return ", ".join(
            part for part in (f"threshold={self.threshold}, value={self.value}", super().extra_repr()) if part
        )
