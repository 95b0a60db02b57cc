"""Hardswish: SiLU drawn with straight lines."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.activations.activation import Activation
from ds_core.kernels import dispatch
from ds_core.module import InputGrad

hardswish, hardswish_backward = dispatch(functional.hardswish, half=torch.float32)


@final
class Hardswish(Activation):
    """Weights each number by a gate that rises from 0 at -3 to 1 at 3.

    y = x h,   dL/dx = g (h + x h'),   h = max(0, min(6, x + 3)) / 6,   h' = 1/6 for -3 < x < 3, else 0

    Source: Howard et al., Searching for MobileNetV3 (2019).
    """

    def forward(self, input: Tensor) -> Tensor:
        y, saved = hardswish(self.checked(input))
        self.save(saved)
        return self.placed(y, input)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return hardswish_backward(grad, saved) if self.input_grad else None
