"""GELU: the Gaussian error linear unit."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.activations.activation import Activation
from ds_core.checks import check_floating
from ds_core.functional.gelu import GELUForm
from ds_core.kernels import dispatch
from ds_core.module import InputGrad

gelu, gelu_backward = dispatch(functional.gelu, half=torch.float32)


@final
class GELU(Activation):
    """Weights each number by the probability that a standard normal one lies below it.

    y = x Phi(x),   dL/dx = g (Phi(x) + x phi(x))

    Phi is the normal distribution function, phi its density. With ``approximate="tanh"``:
    Phi(x) = (1 + tanh u) / 2,   u = sqrt(2 / pi) (x + 0.044715 x^3),   and phi its derivative.

    Args:
        approximate: "none" for the exact form, "tanh" for the approximation GPT and BERT were trained with.

    Raises:
        ValueError: if ``approximate`` is another word.

    Source: Hendrycks and Gimpel, Gaussian Error Linear Units (2016).
    """

    def __init__(self, approximate: GELUForm = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: expected approximate 'none' or 'tanh', got {approximate!r}")
        self.approximate: GELUForm = approximate

    def forward(self, input: Tensor) -> Tensor:
        check_floating(self, input)
        y, saved = gelu(input, self.approximate, keep=self.recording)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return gelu_backward(grad, saved) if self.input_grad else None

    def extra_repr(self) -> str:
        return "" if self.approximate == "none" else f"approximate={self.approximate!r}"
