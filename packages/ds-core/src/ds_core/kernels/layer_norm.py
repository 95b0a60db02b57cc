"""Layer norm as rows of a matrix, in memory that is no longer needed."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ds_core.functional.layer_norm import layer_norm
from ds_core.kernels import branch, kernel
from ds_core.kernels.elementary import channels_side_by_side
from ds_core.kernels.normalization import normalize, normalize_backward, scale_shift
from ds_core.kernels.remade import remember


@kernel(layer_norm, branches=("rows", "images with channels last"))
class LayerNormKernel:
    """Views x as ``(rows, features)``; features of images stand in the order in which they lie in memory."""

    @staticmethod
    def forward(
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
        dims: tuple[int, ...] = (-1,),
        *,
        keep: bool = True,
    ) -> tuple[Tensor, Any]:
        last = channels_last(x, dims)
        branch(f"LayerNormKernel: {'images with channels last' if last else 'rows'}")
        w, b = row(weight, last), row(bias, last)
        y, by = normalize(rows(x, dims, last), (1,), eps, w, b)
        y, shape = shaped(y, x.shape, last), x.shape
        if keep:
            remember(y, lambda: shaped(scale_shift(by.n, w, b, torch.empty_like(by.n)), shape, last), w, b)
        return y, (by.n, by.rstd, weight, bias, last)

    @staticmethod
    def backward(grad: Tensor, saved: Any, *, wanted: tuple[bool, bool, bool] | None = None) -> Any:
        n, rstd, weight, bias, last = saved
        wanted = wanted or (True, weight is not None, bias is not None)
        g = flat(grad, last).reshape(n.shape)
        grads = normalize_backward(g, n, rstd, (1,), row(weight, last), wanted)
        grad_x = None if grads.x is None else shaped(grads.x, grad.shape, last)
        return grad_x, like(grads.weight, weight, last), like(grads.bias, bias, last)

    @staticmethod
    def second_backward(grad_grad: Tensor, grad: Tensor, saved: Any) -> Any:
        n, rstd, weight, _, last = saved
        v, g = flat(grad_grad, last).reshape(n.shape), flat(grad, last).reshape(n.shape)
        w = row(weight, last)
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
            return shaped(grad_of_grad, grad.shape, last), shaped(grad_x, grad.shape, last), None
        grad_weight = like(torch.mul(g, grad_of_grad, out=c).sum(0), weight, last)
        return shaped(grad_of_grad.mul_(w), grad.shape, last), shaped(grad_x, grad.shape, last), grad_weight


def channels_last(x: Tensor, dims: tuple[int, ...]) -> bool:
    """Says whether x are images ``(N, C, H, W)`` with channels last in memory, each normalised as a whole."""
    return len(dims) == 3 and channels_side_by_side(x)


def rows(x: Tensor, dims: tuple[int, ...], last: bool = False) -> Tensor:
    """Views ``(..., *dims)`` as ``(rows, features)``."""
    split = x.dim() - len(dims)
    return flat(x, last).reshape(math.prod(x.shape[:split]), math.prod(x.shape[split:]))


def flat(x: Tensor, last: bool) -> Tensor:
    """Views images, or the features of one, with channels last where ``last``."""
    return x.movedim(-3, -1) if last else x


def shaped(rows: Tensor, shape: torch.Size, last: bool) -> Tensor:
    """Views rows, or one, with the shape that x has, or the features."""
    if not last:
        return rows.view(shape)
    return rows.view(*shape[:-3], *shape[-2:], shape[-3]).movedim(-1, -3)


def row(parameter: Tensor | None, last: bool = False) -> Tensor | None:
    """Views a parameter as ``(1, features)``."""
    return None if parameter is None else flat(parameter, last).reshape(1, -1)


def like(grad: Tensor | None, x: Tensor | None, last: bool = False) -> Tensor | None:
    """Views a gradient with the shape of the parameter it belongs to."""
    return None if grad is None or x is None else shaped(grad, x.shape, last).contiguous()
