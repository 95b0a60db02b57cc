"""Activations by the names that ``config.json`` has for them, and the one that only CLIP has."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from ds_core import GELU, InputGrad, Module, ReLU, SiLU, Tanh
from ds_core.activations import Activation
from ds_core.kernels import dispatch
from torch import Tensor

from ds_zoo import functional

quick_gelu, quick_gelu_backward = dispatch(functional.quick_gelu, half=torch.float32)


@final
class QuickGELU(Activation):
    """Weights each number by a steep sigmoid of itself, which is close to GELU.

    y = x s,   dL/dx = g (s + 1.702 y (1 - s)),   s = 1 / (1 + exp(-1.702 x))

    Source: Hendrycks and Gimpel, Gaussian Error Linear Units (2016), section 2.
    """

    def forward(self, input: Tensor) -> Tensor:
        y, saved = quick_gelu(self.checked(input), keep=self.recording)
        self.save(saved)
        return self.placed(y, input)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return quick_gelu_backward(grad, saved) if self.input_grad else None


ACTIVATIONS: dict[str, Callable[[], Module]] = {
    "gelu": GELU,
    "gelu_new": lambda: GELU("tanh"),
    "gelu_pytorch_tanh": lambda: GELU("tanh"),
    "quick_gelu": QuickGELU,
    "relu": ReLU,
    "silu": SiLU,
    "tanh": Tanh,
}
