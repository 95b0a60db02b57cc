"""Group norm: the channels of each example normalised in groups."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ds_core.functional.batch_norm import over_channels, sum_per_channel


class Saved(NamedTuple):
    """What the backward needs."""

    n: Tensor  # (N, C, ...): x normalised
    rstd: Tensor  # (N, G, 1): one over the standard deviation of each group
    weight: Tensor | None
    bias: Tensor | None


def group_norm(
    x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Saved]:
    """Normalises each group of channels: y = n w + b,   n = (x - mean x) / sqrt(var x + eps)."""
    grouped = x.reshape(
        x.shape[0], groups, math.prod(x.shape[1:]) // groups
    )  # (N, G, channels of a group times positions)
    centred = grouped - grouped.mean(2, keepdim=True)
    rstd = torch.rsqrt(centred.square().mean(2, keepdim=True) + eps)  # (N, G, 1)
    n = (centred * rstd).view(x.shape)
    y = n if weight is None else n * over_channels(weight, x)
    y = y if bias is None else y + over_channels(bias, x)
    return y, Saved(n, rstd, weight, bias)


def group_norm_backward(grad: Tensor, saved: Saved) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """With h = g w:   dL/dx = (h - mean h - n mean(h n)) rstd,   dL/dw = sum of g n,   dL/db = sum of g."""
    n, rstd, weight, bias = saved
    grad_bias = None if bias is None else sum_per_channel(grad)  # y = n w + b
    grad_weight = None if weight is None else sum_per_channel(grad * n)  # y = n w + b
    h = grad if weight is None else grad * over_channels(weight, grad)  # y = n w + b
    grouped = (*rstd.shape[:2], math.prod(n.shape[1:]) // rstd.shape[1])
    h, n = h.reshape(grouped), n.reshape(grouped)  # (N, G, channels of a group times positions)
    grad_x = (h - h.mean(2, keepdim=True) - n * (h * n).mean(2, keepdim=True)) * rstd  # n of x
    return grad_x.view(grad.shape), grad_weight, grad_bias
