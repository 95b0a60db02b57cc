"""Layer norm as rows of a matrix, in memory that is no longer needed."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ds_core.functional.layer_norm import layer_norm
from ds_core.kernels import kernel
from ds_core.kernels.normalization import normalize, normalize_backward


@kernel(layer_norm)
class LayerNormKernel:
    """Views x as ``(rows, features)``."""

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, dims: tuple[int, ...] = (-1,)
    ) -> tuple[Tensor, Any]:
        y, by = normalize(rows(x, dims), (1,), eps, row(weight), row(bias))
        return y.view(x.shape), (by.n, by.rstd, weight, bias)

    @staticmethod
    def backward(grad: Tensor, saved: Any, *, wanted: tuple[bool, bool, bool] | None = None) -> Any:
        n, rstd, weight, bias = saved
        wanted = wanted or (True, weight is not None, bias is not None)
        grads = normalize_backward(grad.reshape(n.shape), n, rstd, (1,), row(weight), wanted)
        return like(grads.x, grad), like(grads.weight, weight), like(grads.bias, bias)

    @staticmethod
    def second_backward(grad_grad: Tensor, grad: Tensor, saved: Any) -> Any:
        n, rstd, weight, _ = saved
        v, g, w = grad_grad.reshape(n.shape), grad.reshape(n.shape), row(weight)
        h = g if w is None else g * w
        product = v * n
        v_n = product.mean(1, keepdim=True)
        h_n = torch.mul(h, n, out=product).mean(1, keepdim=True)
        a = (v - v.mean(1, keepdim=True)).addcmul_(n, v_n, value=-1)
        c = (h - h.mean(1, keepdim=True)).addcmul_(n, h_n, value=-1)
        v_c = torch.mul(v, c, out=product).mean(1, keepdim=True)
        grad_x = torch.mul(a, h_n, out=product).addcmul_(c, v_n).addcmul_(n, v_c).mul_(-(rstd**2))
        grad_of_grad = a.mul_(rstd)
        if w is None:
            return grad_of_grad.view(grad.shape), grad_x.view(grad.shape), None
        grad_weight = torch.mul(g, grad_of_grad, out=c).sum(0)
        return grad_of_grad.mul_(w).view(grad.shape), grad_x.view(grad.shape), like(grad_weight, weight)


def rows(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Views ``(..., *dims)`` as ``(rows, features)``."""
    split = x.dim() - len(dims)
    return x.reshape(math.prod(x.shape[:split]), math.prod(x.shape[split:]))


def row(parameter: Tensor | None) -> Tensor | None:
    """Views a parameter as ``(1, features)``."""
    return None if parameter is None else parameter.reshape(1, -1)


def like(grad: Tensor | None, x: Tensor | None) -> Tensor | None:
    """Views a gradient with the shape of what it belongs to."""
    return None if grad is None or x is None else grad.view(x.shape)
