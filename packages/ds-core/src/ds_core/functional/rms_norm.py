"""Root-mean-square norm: layer norm without the centring."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Saved(NamedTuple):
    """What the backward needs."""

    n: Tensor  # (..., *dims): x normalised
    r: Tensor  # (..., 1): one over the root mean square
    weight: Tensor | None
    dims: tuple[int, ...]


def rms_norm(
    x: Tensor, weight: Tensor | None, eps: float, dims: tuple[int, ...] = (-1,)
) -> tuple[Tensor, Saved]:
    """Divides x by its root mean square over the last dimensions: y = n w,   n = x / sqrt(mean x^2 + eps)."""
    r = torch.rsqrt(x.square().mean(dims, keepdim=True) + eps)  # (..., 1)
    n = x * r
    y = n if weight is None else n * weight
    return y, Saved(n, r, weight, dims)


def rms_norm_backward(grad: Tensor, saved: Saved) -> tuple[Tensor, Tensor | None]:
    """With h = g w:   dL/dx = (h - n mean(h n)) r,   dL/dw = sum of g n."""
    n, r, weight, dims = saved
    grad_weight = None if weight is None else (grad * n).sum_to_size(weight.shape)  # y = n w
    h = grad if weight is None else grad * weight  # y = n w
    grad_x = (h - n * (h * n).mean(dims, keepdim=True)) * r  # n = x r, through x and through r
    return grad_x, grad_weight
