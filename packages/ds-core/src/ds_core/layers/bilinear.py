"""Bilinear: a map of two inputs, linear in each."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.checks import check_dtype, shape
from ds_core.initializers import Init, initialize, torch_linear_bias_
from ds_core.kernels import dispatch
from ds_core.module import Module, Parameter

bilinear, bilinear_backward = dispatch(functional.bilinear, low=True)


@final
class Bilinear(Module):
    """Maps two vectors to ``out_features`` numbers, each a weighted sum of all products of their entries.

    y_o = x1^T W_o x2 + b_o

    With g = dL/dy:   dL/dW_o = sum of g_o x1 x2^T,   dL/db = sum of g,
    dL/dx1 = sum_o g_o W_o x2,   dL/dx2 = sum_o g_o W_o^T x1

    Args:
        in1_features: I, size of the last dimension of the first input.
        in2_features: J, size of the last dimension of the second input.
        out_features: O, size of the last dimension of the output.
        bias: whether b is added.
        device: of the parameters.
        dtype: of the parameters.
        init: initial W: a name or function of :mod:`ds_core.initializers`; None for torch.nn's
            default, U(-1/sqrt(I), 1/sqrt(I)).
        generator: source of the initial values; None for torch's global one.

    Shape:
        x1 ``(..., I)``, x2 ``(..., J)`` -> y ``(..., O)``; weight ``(O, I, J)``, bias ``(O,)``.

    Raises:
        ValueError: if the last dimensions are not I and J, or the leading ones differ.
        TypeError: if an input has another dtype than the weight.

    Source: Tenenbaum, Freeman, Separating Style and Content with Bilinear Models (2000), equation 1.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        if in1_features < 1:
            raise ValueError(
                f"{type(self).__name__}: expected in1_features of at least 1, got {in1_features}"
            )
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        weight = torch.empty(out_features, in1_features, in2_features, device=device, dtype=dtype)
        self.weight = Parameter(weight)
        start = torch.zeros(out_features, device=device, dtype=dtype)
        self.register_parameter("bias", Parameter(start) if bias else None)
        if init is None:
            torch_linear_bias_(self.weight, in1_features, generator)
            if self.bias is not None:
                torch_linear_bias_(self.bias, in1_features, generator)
        else:
            initialize(self.weight, init, generator)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        self._check(input1, input2)
        y, saved = bilinear(input1, input2, self.weight, self.bias)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (saved,) = self.saved()
        wanted = self.wants("input", "input", "weight", "bias")
        grad_x1, grad_x2, grad_weight, grad_bias = bilinear_backward(grad, saved, wanted=wanted)
        self.add_grad("weight", grad_weight)
        self.add_grad("bias", grad_bias)
        return grad_x1, grad_x2

    def _check(self, x1: Tensor, x2: Tensor) -> None:
        ends = (x1.shape[-1:], x2.shape[-1:])
        if ends != ((self.in1_features,), (self.in2_features,)) or x1.shape[:-1] != x2.shape[:-1]:
            raise ValueError(
                f"{self.label()}: expected inputs of shape (..., {self.in1_features}) and "
                f"(..., {self.in2_features}) with equal leading dimensions, got {shape(x1)} and {shape(x2)}"
            )
        check_dtype(self, x1, self.weight.dtype)
        check_dtype(self, x2, self.weight.dtype)

    def extra_repr(self) -> str:
        sizes = f"{self.in1_features}, {self.in2_features}, {self.out_features}"
        return sizes + ("" if self.bias is not None else ", bias=False")
