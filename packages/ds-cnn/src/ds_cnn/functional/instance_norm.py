"""Instance norm: each channel of each image normalised by itself."""

from __future__ import annotations

from typing import NamedTuple

import torch
from ds_core.functional.batch_norm import over_channels, sum_per_channel
from torch import Tensor

DIMS = (2, 3)  # the pixels


class Saved(NamedTuple):
    """What the backward needs."""

    n: Tensor  # (N, C, H, W): x normalised
    rstd: Tensor  # (N, C, 1, 1): one over the standard deviation
    weight: Tensor | None
    bias: Tensor | None


def instance_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[tuple[Tensor, Tensor, Tensor], Saved]:
    """Normalises each channel of each image: y = n w + b,   n = (x - mean x) / sqrt(var x + eps).

    Returns:
        y ``(N, C, H, W)`` with mean and variance ``(N, C)``, through which no gradient is wanted; and saved.
    """
    mean = x.mean(DIMS, keepdim=True)  # (N, C, 1, 1)
    centred = x - mean
    var = centred.square().mean(DIMS, keepdim=True)
    rstd = torch.rsqrt(var + eps)
    n = centred * rstd
    y = n if weight is None else n * over_channels(weight, x)
    y = y if bias is None else y + over_channels(bias, x)
    return (y, mean.flatten(1), var.flatten(1)), Saved(n, rstd, weight, bias)


def instance_norm_backward(grad: Tensor, saved: Saved) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """With h = g w:   dL/dx = (h - mean h - n mean(h n)) rstd,   dL/dw = sum of g n,   dL/db = sum of g."""
    n, rstd, weight, bias = saved
    grad_bias = None if bias is None else sum_per_channel(grad)  # y = n w + b
    grad_weight = None if weight is None else sum_per_channel(grad * n)  # y = n w + b
    h = grad if weight is None else grad * over_channels(weight, grad)  # y = n w + b
    grad_x = (h - h.mean(DIMS, keepdim=True) - n * (h * n).mean(DIMS, keepdim=True)) * rstd  # n of x
    return grad_x, grad_weight, grad_bias
