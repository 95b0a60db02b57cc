"""The bilinear map: weighted sums of all products of two inputs' entries."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ds_core.functional.linear import as_rows


class Saved(NamedTuple):
    """What the backward needs."""

    x1: Tensor  # (..., I)
    x2: Tensor  # (..., J)
    weight: Tensor  # (O, I, J)
    bias: Tensor | None  # (O,)


def bilinear(x1: Tensor, x2: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Saved]:
    """Maps two vectors, linearly in each: y_o = x1^T W_o x2 + b_o."""
    z = x1.unsqueeze(-1) * x2.unsqueeze(-2)  # (..., I, J): all products of an entry of x1 with one of x2
    y = z.flatten(-2) @ weight.flatten(1).T  # (..., O)
    y = y if bias is None else y + bias
    return y, Saved(x1, x2, weight, bias)


def bilinear_backward(grad: Tensor, saved: Saved) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """With z = x1 x2^T, the sums over places:   dL/dW_o = sum of g_o z,   dL/db = sum of g.

    dL/dz = sum_o g_o W_o,   dL/dx1 = dL/dz x2,   dL/dx2 = (dL/dz)^T x1
    """
    x1, x2, weight, bias = saved
    z = x1.unsqueeze(-1) * x2.unsqueeze(-2)
    grad_bias = None if bias is None else grad.sum_to_size(bias.shape)  # y = z W^T + b
    grad_weight = (as_rows(grad).T @ as_rows(z.flatten(-2))).view(weight.shape)  # y = z W^T
    grad_z = (grad @ weight.flatten(1)).view(z.shape)  # y = z W^T
    grad_x1 = (grad_z * x2.unsqueeze(-2)).sum(-1)  # z = x1 x2^T
    grad_x2 = (grad_z * x1.unsqueeze(-1)).sum(-2)  # z = x1 x2^T
    return grad_x1, grad_x2, grad_weight, grad_bias
