"""Layer norm: the features of each example normalised by themselves."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Saved(NamedTuple):
    """What the backward needs."""

    n: Tensor  # (..., *dims): x normalised
    rstd: Tensor  # (..., 1): one over the standard deviation
    weight: Tensor | None
    bias: Tensor | None
    dims: tuple[int, ...]


def layer_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, dims: tuple[int, ...] = (-1,)
) -> tuple[Tensor, Saved]:
    """Normalises x over its last dimensions: y = n w + b,   n = (x - mean x) / sqrt(var x + eps)."""
    centred = x - x.mean(dims, keepdim=True)
    rstd = torch.rsqrt(centred.square().mean(dims, keepdim=True) + eps)  # (..., 1)
    n = centred * rstd
    y = n if weight is None else n * weight
    y = y if bias is None else y + bias
    return y, Saved(n, rstd, weight, bias, dims)


def layer_norm_backward(grad: Tensor, saved: Saved) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """With h = g w:   dL/dx = (h - mean h - n mean(h n)) rstd,   dL/dw = sum of g n,   dL/db = sum of g."""
    n, rstd, weight, bias, dims = saved
    grad_bias = None if bias is None else grad.sum_to_size(bias.shape)  # y = n w + b
    grad_weight = None if weight is None else (grad * n).sum_to_size(weight.shape)  # y = n w + b
    h = grad if weight is None else grad * weight  # y = n w + b
    grad_x = (h - h.mean(dims, keepdim=True) - n * (h * n).mean(dims, keepdim=True)) * rstd  # n of x
    return grad_x, grad_weight, grad_bias


def layer_norm_second_backward(
    grad_grad: Tensor, grad: Tensor, saved: Saved
) -> tuple[Tensor, Tensor, Tensor | None]:
    """With s = sum of v dL/dx, v = grad_grad, P u = u - mean u - n mean(u n), a = P v and c = P h.

    ds/dg = w rstd a,   ds/dx = -rstd^2 (a mean(h n) + c mean(v n) + n mean(v c)),   ds/dw = sum of g rstd a
    """
    n, rstd, weight, _, dims = saved
    h = grad if weight is None else grad * weight
    a = grad_grad - grad_grad.mean(dims, keepdim=True) - n * (grad_grad * n).mean(dims, keepdim=True)
    c = h - h.mean(dims, keepdim=True) - n * (h * n).mean(dims, keepdim=True)
    grad_of_grad = rstd * a if weight is None else rstd * a * weight  # s = sum of (rstd a) (g w)
    grad_weight = None if weight is None else (grad * rstd * a).sum_to_size(weight.shape)
    h_n, v_n = (h * n).mean(dims, keepdim=True), (grad_grad * n).mean(dims, keepdim=True)
    v_c = (grad_grad * c).mean(dims, keepdim=True)
    grad_x = -(rstd**2) * (a * h_n + c * v_n + n * v_c)  # through n and rstd
    return grad_of_grad, grad_x, grad_weight
