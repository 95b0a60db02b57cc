"""Softplus: the smooth rectifier."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.activations.activation import Activation
from ds_core.checks import check_floating
from ds_core.kernels import dispatch
from ds_core.module import InputGrad

softplus, softplus_backward = dispatch(functional.softplus, half=torch.float32)


@final
class Softplus(Activation):
    """Rectifies without a kink; beyond the threshold, where the two agree, it is the rectifier.

    y = log(1 + exp(b x)) / b,   dL/dx = g / (1 + exp(-b x));   where b x > threshold: y = x, dL/dx = g

    Args:
        beta: b, how sharp the bend is.
        threshold: from which b x on the result is x itself.

    Source: Dugas et al., Incorporating Second-Order Functional Knowledge (2000).
    """

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Tensor) -> Tensor:
        check_floating(self, input)
        y, saved = softplus(input, self.beta, self.threshold)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return softplus_backward(grad, saved) if self.input_grad else None

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"
