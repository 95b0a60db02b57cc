"""The bilinear map: an affine one of all products, by the fastest product of matrices."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.bilinear import Saved, bilinear
from ds_core.functional.linear import as_rows
from ds_core.kernels import kernel, matmul


@kernel(bilinear, device=(), dtypes=(torch.float32, torch.float64, torch.float16, torch.bfloat16))
class BilinearKernel:
    """Through the products of two vectors each gets its gradient by a product of a matrix and a vector."""

    @staticmethod
    def forward(x1: Tensor, x2: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Saved]:
        y = matmul.linear(_products(as_rows(x1), as_rows(x2)), weight.flatten(1), bias)
        return y.view(*x1.shape[:-1], len(weight)), Saved(x1, x2, weight, bias)

    @staticmethod
    def backward(
        grad: Tensor, saved: Saved, *, wanted: tuple[bool, ...] | None = None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
        x1, x2, weight, bias = saved
        want_x1, want_x2, want_weight, want_bias = wanted or (True, True, True, bias is not None)
        g, rows1, rows2 = as_rows(grad), as_rows(x1), as_rows(x2)
        grad_x1 = grad_x2 = grad_weight = None
        if want_weight:
            grad_weight = matmul.mm(g.mT, _products(rows1, rows2)).view(weight.shape)
        if want_x1 or want_x2:
            grad_z = matmul.mm(g, weight.flatten(1)).view(len(g), *weight.shape[1:])  # (rows, I, J)
            grad_x1 = matmul.bmm(grad_z, rows2.unsqueeze(2)).view(x1.shape)
            grad_x2 = matmul.bmm(rows1.unsqueeze(1), grad_z).view(x2.shape)
        return grad_x1, grad_x2, grad_weight, g.sum(0) if want_bias else None


def _products(rows1: Tensor, rows2: Tensor) -> Tensor:
    """Returns all products of an entry of x1 with one of x2: ``(R, I)``, ``(R, J)`` -> ``(R, I J)``."""
    return (rows1.unsqueeze(2) * rows2.unsqueeze(1)).flatten(1)
