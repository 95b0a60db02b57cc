"""Dense: the affine map, and the pattern every layer here follows."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ds_core.checks import check_features
from ds_core.initializers import Init, initialize, torch_linear_bias_
from ds_core.module import InputGrad, Module, Parameter


class Dense(Module):
    """Maps the last dimension affinely, from ``in_features`` to ``out_features`` numbers.

    y = x W^T + b,   and with g = dL/dy:   dL/dW = g^T x,   dL/db = sum of g,   dL/dx = g W

    Args:
        in_features: size of the last dimension of the input.
        out_features: size of the last dimension of the output.
        bias: whether b is added.
        init: how W starts: a name or function of :mod:`ds_core.initializers`; None for torch.nn's default.
        generator: source of the initial values; None for torch's global one.

    Shape:
        x ``(..., in_features)`` -> y ``(..., out_features)``; weight ``(out_features, in_features)``,
        bias ``(out_features,)``.

    Raises:
        ValueError: if the last dimension of x is not ``in_features``.
        TypeError: if x has another dtype than the weight.

    Source: Goodfellow, Bengio, Courville, Deep Learning (2016), section 6.5.6.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(torch.empty(out_features, in_features))
        initialize(self.weight, init, generator)
        self.register_parameter("bias", Parameter(torch.zeros(out_features)) if bias else None)
        if self.bias is not None and init is None:
            torch_linear_bias_(self.bias, in_features, generator)

    def forward(self, x: Tensor) -> Tensor:
        check_features(self, x, self.in_features, self.weight)
        self.save(x)
        rows = as_rows(x)  # (rows, in)
        if self.bias is None:
            y = rows @ self.weight.T
        else:
            y = torch.addmm(self.bias, rows, self.weight.T)
        return y.view(*x.shape[:-1], self.out_features)

    def backward(self, grad: Tensor) -> InputGrad:
        (x,) = self.saved()
        rows, grad = as_rows(x), as_rows(grad)  # (rows, in), (rows, out)
        self.add_grad("weight", lambda: grad.T @ rows)
        self.add_grad("bias", lambda: grad.sum(0))
        if not self.input_grad:
            return None
        return (grad @ self.weight).view(x.shape)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}" + ("" if self.bias is not None else ", bias=False")


Linear = Dense


def as_rows(x: Tensor) -> Tensor:
    """Views ``(..., features)`` as the matrix ``(rows, features)``."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
