"""Batch norm: each channel normalised over the batch and all positions."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Saved(NamedTuple):
    """What the backward needs."""

    n: Tensor  # (N, C, ...): x normalised
    rstd: Tensor  # (1, C, 1, ...): one over the standard deviation of each channel
    weight: Tensor | None
    bias: Tensor | None


def batch_norm(
    x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[tuple[Tensor, Tensor, Tensor], Saved]:
    """Normalises each channel by the batch's statistics: y = n w + b,   n = (x - mean x) / sqrt(var x + eps).

    Returns:
        y ``(N, C, ...)`` with mean and variance ``(C,)``, through which no gradient is wanted; and saved.
    """
    dims = all_but_channels(x)
    mean = x.mean(dims, keepdim=True)  # (1, C, 1, ...)
    centred = x - mean
    var = centred.square().mean(dims, keepdim=True)
    rstd = torch.rsqrt(var + eps)
    n = centred * rstd
    y = n if weight is None else n * over_channels(weight, x)
    y = y if bias is None else y + over_channels(bias, x)
    return (y, mean.flatten(), var.flatten()), Saved(n, rstd, weight, bias)


def batch_norm_backward(grad: Tensor, saved: Saved) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """With h = g w:   dL/dx = (h - mean h - n mean(h n)) rstd,   dL/dw = sum of g n,   dL/db = sum of g."""
    n, rstd, weight, bias = saved
    dims = all_but_channels(grad)
    grad_bias = None if bias is None else sum_per_channel(grad)  # y = n w + b
    grad_weight = None if weight is None else sum_per_channel(grad * n)  # y = n w + b
    h = grad if weight is None else grad * over_channels(weight, grad)  # y = n w + b
    grad_x = (h - h.mean(dims, keepdim=True) - n * (h * n).mean(dims, keepdim=True)) * rstd  # n of x
    return grad_x, grad_weight, grad_bias


def frozen_batch_norm(
    x: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor | None, Tensor | None]]:
    """Normalises each channel by given statistics: y = n w + b,   n = (x - mean) / sqrt(var + eps)."""
    rstd = over_channels(torch.rsqrt(var + eps), x)
    n = (x - over_channels(mean, x)) * rstd
    y = n if weight is None else n * over_channels(weight, x)
    y = y if bias is None else y + over_channels(bias, x)
    return y, (n, rstd, weight, bias)


def frozen_batch_norm_backward(
    grad: Tensor, saved: tuple[Tensor, Tensor, Tensor | None, Tensor | None]
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """dL/dx = g w rstd, as the statistics do not depend on x;   dL/dw = sum of g n,   dL/db = sum of g."""
    n, rstd, weight, bias = saved
    grad_bias = None if bias is None else sum_per_channel(grad)  # y = n w + b
    grad_weight = None if weight is None else sum_per_channel(grad * n)  # y = n w + b
    h = grad if weight is None else grad * over_channels(weight, grad)  # y = n w + b
    return h * rstd, grad_weight, grad_bias  # n = (x - mean) rstd


def all_but_channels(x: Tensor) -> list[int]:
    """Lists every dimension of ``(N, C, ...)`` but that of the channels."""
    return [0, *range(2, x.dim())]


def over_channels(numbers: Tensor, x: Tensor) -> Tensor:
    """Views a number for each channel, ``(C,)``, so that it broadcasts over x ``(N, C, ...)``."""
    return numbers.view(1, -1, *[1] * (x.dim() - 2))


def sum_per_channel(x: Tensor) -> Tensor:
    """Sums ``(N, C, ...)`` over everything but the channels -> ``(C,)``."""
    return x.sum(all_but_channels(x))
