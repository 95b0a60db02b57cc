"""Bilinear: a map of two inputs, linear in each."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.checks import check_dtype, shape
from ds_core.initializers import Init, initialize, torch_linear_bias_
from ds_core.layers.dense import as_rows
from ds_core.module import Module, Parameter


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
        init: how W starts: a name or function of :mod:`ds_core.initializers`; None for torch.nn's default,
            U(-1/sqrt(I), 1/sqrt(I)).
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
        self.weight = Parameter(torch.empty(out_features, in1_features, in2_features))
        self.register_parameter("bias", Parameter(torch.zeros(out_features)) if bias else None)
        if init is None:
            torch_linear_bias_(self.weight, in1_features, generator)
            if self.bias is not None:
                torch_linear_bias_(self.bias, in1_features, generator)
        else:
            initialize(self.weight, init, generator)

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        self._check(x1, x2)
        rows1, rows2 = as_rows(x1), as_rows(x2)  # (R, I), (R, J)
        self.save(rows1, rows2, x1.shape, x2.shape)
        y = products(rows1, rows2) @ self.weight.flatten(1).T  # (R, O)
        if self.bias is not None:
            y = y + self.bias
        return y.view(*x1.shape[:-1], self.out_features)

    def backward(self, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        rows1, rows2, shape1, shape2 = self.saved()
        grad = as_rows(grad)  # (R, O)
        self.add_grad("weight", lambda: (grad.T @ products(rows1, rows2)).view(self.weight.shape))
        self.add_grad("bias", lambda: grad.sum(0))
        if not self.input_grad:
            return None, None
        sizes = len(grad), self.in1_features, self.in2_features
        grad_products = (grad @ self.weight.flatten(1)).view(sizes)  # sum_o g_o W_o: (R, I, J)
        grad1 = (grad_products @ rows2.unsqueeze(2)).view(shape1)
        grad2 = (rows1.unsqueeze(1) @ grad_products).view(shape2)
        return grad1, grad2

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


def products(rows1: Tensor, rows2: Tensor) -> Tensor:
    """Returns all products of an entry of x1 with one of x2: ``(R, I)``, ``(R, J)`` -> ``(R, I J)``.

    Over them the bilinear map is an ordinary affine one.
    """
    return (rows1.unsqueeze(2) * rows2.unsqueeze(1)).flatten(1)
