"""Hardsigmoid: the sigmoid drawn with straight lines."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.activations.activation import Activation
from ds_core.kernels import dispatch
from ds_core.module import InputGrad

hardsigmoid, hardsigmoid_backward = dispatch(functional.hardsigmoid, half=torch.float32)


@final
class Hardsigmoid(Activation):
    """Rises from 0 at -3 to 1 at 3.

    y = min(max(x + 3, 0), 6) / 6,   dL/dx = g / 6 where -3 < x < 3, else 0

    Source: Howard et al., Searching for MobileNetV3 (2019), section 5.2.
    """

    def forward(self, input: Tensor) -> Tensor:
        y, saved = hardsigmoid(self.checked(input))
        self.save(saved)
        return self.placed(y, input)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return hardsigmoid_backward(grad, saved) if self.input_grad else None
