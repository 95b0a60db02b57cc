"""Dense: the affine map, and the pattern every layer here follows."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.checks import check_features
from ds_core.initializers import Init, initialize, torch_linear_bias_
from ds_core.kernels import dispatch
from ds_core.module import InputGrad, Module, Parameter

linear, linear_backward, linear_second_backward = dispatch(functional.linear, second=True, low=True)


@final
class Dense(Module):
    """Maps the last dimension affinely, from ``in_features`` to ``out_features`` numbers.

    y = x W^T + b,   and with g = dL/dy:   dL/dW = g^T x,   dL/db = sum of g,   dL/dx = g W

    Args:
        in_features: size of the last dimension of the input.
        out_features: size of the last dimension of the output.
        bias: whether b is added.
        device: of the parameters.
        dtype: of the parameters.
        init: initial W: a name or function of :mod:`ds_core.initializers`; None for torch.nn's default.
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
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(torch.empty(out_features, in_features, device=device, dtype=dtype))
        initialize(self.weight, init, generator)
        start = torch.zeros(out_features, device=device, dtype=dtype)
        self.register_parameter("bias", Parameter(start) if bias else None)
        if self.bias is not None and init is None:
            torch_linear_bias_(self.bias, in_features, generator)

    def forward(self, input: Tensor) -> Tensor:
        check_features(self, input, self.in_features, self.weight)
        y, saved = linear(input, self.weight, self.bias)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        wanted = self.wants("input", "weight", "bias")
        grad_x, grad_weight, grad_bias = linear_backward(grad, saved, wanted=wanted)
        self.add_grad("weight", grad_weight)
        self.add_grad("bias", grad_bias)
        return grad_x

    def second_backward(self, grad_grad: Tensor) -> Tensor:
        grad, saved = self.kept_for_second()
        grad_of_grad, grad_weight = linear_second_backward(grad_grad, grad, saved)
        self.add_grad("weight", grad_weight)
        self.save_again(saved, grad_x=None)
        return grad_of_grad

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}" + ("" if self.bias is not None else ", bias=False")


Linear = Dense
