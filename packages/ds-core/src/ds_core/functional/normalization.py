"""Normalisation: one formula, of which batch, layer, group and root-mean-square norm are special cases.

They differ in the dimensions over which mean and variance are taken and in those along which the weight
varies. The shapes of the arguments say both, so nothing here knows which norm it serves.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ds_core.functional.elementary import reuse


class Statistics(NamedTuple):
    """What x was normalised by; shaped like x, with size 1 along the dimensions averaged over."""

    mean: Tensor | None  # None if x was not centred
    var: Tensor  # mean square of the centred x: divided by n, not n - 1
    rstd: Tensor  # 1 / sqrt(var + eps)


def normalize(
    x: Tensor,
    dims: tuple[int, ...],
    eps: float,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    centre: bool = True,
) -> tuple[Tensor, Tensor, Statistics]:
    """Brings x to mean 0 and variance 1 over some dimensions, then scales and shifts it.

    n = (x - mean(x)) / sqrt(var(x) + eps),   y = n * weight + bias

    Args:
        x: any shape.
        dims: the dimensions over which mean and variance are taken.
        eps: added to the variance, so that a constant x is not divided by zero.
        weight: shaped like x, with size 1 where it is constant; None for 1.
        bias: shaped like the weight; None for 0.
        centre: whether the mean is subtracted; if not, var is the mean square of x itself.

    Returns:
        y and n, both shaped like x, and the statistics.
    """
    mean = x.mean(dims, keepdim=True) if centre else None
    centred = x if mean is None else x - mean
    squares = centred * centred
    var = squares.mean(dims, keepdim=True)
    rstd = torch.rsqrt(var + eps)
    # Our backward needs n alone, so n and y take over the memory of the intermediates.
    normalized = torch.mul(centred, rstd, out=reuse(centred) if centre else None)
    y = scale_shift(normalized, weight, bias, out=reuse(squares))
    return y, normalized, Statistics(mean, var, rstd)


def normalize_backward(
    grad: Tensor,
    product: Tensor,
    normalized: Tensor,
    rstd: Tensor,
    dims: tuple[int, ...],
    weight: Tensor | None = None,
    centre: bool = True,
) -> Tensor:
    """Returns the gradient of x.

    With h = g * weight:   dL/dx = (h - mean(h) - n mean(h n)) rstd   (without mean(h) if x was not centred)

    Args:
        grad: g = dL/dy, shaped like x.
        product: g n, whose sum is the gradient of the weight; its memory becomes the result's.
        normalized: n, from the forward.
        rstd: from the forward.
        dims: as in the forward.
        weight: as in the forward.
        centre: as in the forward.
    """
    count = max(1, normalized.numel() // max(1, rstd.numel()))
    share = torch.full_like(rstd, -1 / count) if weight is None else weight / -count
    minus_mean = _weighted_sum(grad, share, dims) if centre else None
    minus_mean_product = _weighted_sum(product, share, dims)
    grad_x = scale_shift(grad, weight, minus_mean, out=product)
    return grad_x.addcmul_(normalized, minus_mean_product).mul_(rstd)


def scale_shift(x: Tensor, weight: Tensor | None, bias: Tensor | None, out: Tensor | None = None) -> Tensor:
    """Returns x * weight + bias (None: 1, 0) as a new tensor, or in ``out``."""
    if weight is None:
        return torch.add(x, 0.0 if bias is None else bias, out=out)
    if bias is None:
        return torch.mul(x, weight, out=out)
    if weight.shape[-1] > 1:
        return torch.addcmul(bias, x, weight, out=out)
    return torch.mul(x, weight, out=out).add_(bias)  # addcmul is slow where both are constant along rows


def _weighted_sum(x: Tensor, weight: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Returns the sum of x * weight over ``dims``, kept as size 1, without a temporary of x's size."""
    constant = [dim for dim in dims if weight.shape[dim] == 1]
    if not constant:  # x is a matrix, and each of its rows is weighed alike
        return x @ weight.T
    total = x.sum(constant, keepdim=True) * weight
    return total if len(constant) == len(dims) else total.sum(dims, keepdim=True)
