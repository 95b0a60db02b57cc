"""Hardswish: SiLU drawn with straight lines."""

from __future__ import annotations

from torch import Tensor

from ds_core.activations.activation import Activation
from ds_core.functional.activations import hardswish, hardswish_backward


class Hardswish(Activation):
    """Weights each number by a gate that rises from 0 at -3 to 1 at 3.

    y = x h,   dL/dx = g (h + x h'),   h = max(0, min(6, x + 3)) / 6,   h' = 1/6 for -3 < x < 3, else 0

    Source: Howard et al., Searching for MobileNetV3 (2019).
    """

    def function(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return hardswish(x), x

    def function_backward(self, grad: Tensor, kept: Tensor) -> Tensor:
        return hardswish_backward(grad, kept)
