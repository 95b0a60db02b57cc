"""Tanh: any number to one between -1 and 1."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.activations.activation import Activation
from ds_core.functional.activations import tanh_backward


class Tanh(Activation):
    """Squeezes each number between -1 and 1.

    y = tanh(x),   dL/dx = g (1 - y^2)

    Source: LeCun et al., Efficient BackProp (1998), section 4.4.
    """

    def __init__(self) -> None:
        super().__init__()

    def function(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.tanh(x)
        return y, y

    def function_backward(self, grad: Tensor, kept: Tensor) -> Tensor:
        return tanh_backward(grad, kept)
