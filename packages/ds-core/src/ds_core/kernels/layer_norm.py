"""Layer norm on a processor: rows of a matrix, in the memory of what is no longer needed."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ds_core.functional.layer_norm import Saved, layer_norm
from ds_core.kernels import kernel


@kernel(layer_norm)
class LayerNormKernel:
    """Views x as ``(rows, features)``; the sums weighted by w are products with a vector."""

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, dims: tuple[int, ...] = (-1,)
    ) -> tuple[Tensor, Saved]:
        rows = _rows(x, dims)
        centred = rows - rows.mean(1, keepdim=True)
        squares = centred * centred
        rstd = squares.mean(1, keepdim=True).add_(eps).rsqrt_()
        n = centred.mul_(rstd)
        if weight is None:
            y = squares.copy_(n)
        elif bias is None:
            y = torch.mul(n, weight.reshape(1, -1), out=squares)
        else:
            y = torch.addcmul(bias.reshape(1, -1), n, weight.reshape(1, -1), out=squares)
        return y.view(x.shape), Saved(n, rstd, weight, bias, dims)

    @staticmethod
    def backward(
        grad: Tensor, saved: Saved, *, wanted: tuple[bool, ...] | None = None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        n, rstd, weight, bias, _ = saved
        want_x, want_weight, want_bias = wanted or (True, weight is not None, bias is not None)
        g = grad.reshape(n.shape)
        product = g * n
        grad_weight = product.sum(0).view(weight.shape) if want_weight and weight is not None else None
        grad_bias = g.sum(0).view(bias.shape) if want_bias and bias is not None else None
        if not want_x:
            return None, grad_weight, grad_bias
        features = max(n.shape[1], 1)
        if weight is None:
            mean, mean_product = g.mean(1, keepdim=True), product.mean(1, keepdim=True)
            grad_x = torch.sub(g, mean, out=product)
        else:
            share = weight.reshape(-1, 1) / features
            mean, mean_product = g @ share, product @ share  # (rows, 1)
            grad_x = torch.mul(g, weight.reshape(1, -1), out=product).sub_(mean)
        grad_x = grad_x.addcmul_(n, mean_product, value=-1).mul_(rstd)
        return grad_x.view(grad.shape), grad_weight, grad_bias


def _rows(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Views ``(..., *dims)`` as ``(rows, features)``."""
    split = x.dim() - len(dims)
    return x.reshape(math.prod(x.shape[:split]), math.prod(x.shape[split:]))
