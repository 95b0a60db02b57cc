"""The affine map: rows of a matrix, by the fastest product."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.linear import Saved, as_rows, linear
from ds_core.kernels import kernel, matmul


@kernel(linear, device=(), dtypes=(torch.float32, torch.float64, torch.float16, torch.bfloat16))
class LinearKernel:
    """Adds the bias inside the product."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Saved]:
        y = matmul.linear(as_rows(x), weight, bias)
        y = y if x.dim() == 2 else y.view(*x.shape[:-1], weight.shape[0])
        return y, Saved(x, weight, bias)

    @staticmethod
    def backward(
        grad: Tensor, saved: Saved, *, wanted: tuple[bool, ...] | None = None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight, bias = saved
        want_x, want_weight, want_bias = wanted or (True, True, bias is not None)
        g = as_rows(grad)
        grad_weight = matmul.mm(g.mT, as_rows(x)) if want_weight else None
        grad_x = matmul.mm(g, weight) if want_x else None
        if grad_x is not None and x.dim() != 2:
            grad_x = grad_x.view(x.shape)
        return grad_x, grad_weight, g.sum(0) if want_bias else None

    @staticmethod
    def second_backward(grad_grad: Tensor, grad: Tensor, saved: Saved) -> tuple[Tensor, Tensor]:
        v = as_rows(grad_grad)
        grad_of_grad = matmul.linear(v, saved.weight)
        return grad_of_grad.view(grad.shape), matmul.mm(as_rows(grad).mT, v)
