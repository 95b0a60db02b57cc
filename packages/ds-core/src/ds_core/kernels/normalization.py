"""What the kernels of layer, root-mean-square, group and batch norm share.

They differ in the dimensions over which mean and variance are taken and in those along which the weight
varies. The shapes of the arguments say both, so nothing here knows which norm it serves.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ds_core.kernels import matmul
from ds_core.kernels.elementary import number
from ds_core.kernels.scratch import scratch


class Normalized(NamedTuple):
    """What x was normalised to, and by what: like x, with size 1 along the dimensions averaged over."""

    n: Tensor
    mean: Tensor | None  # None if x was not centred
    var: Tensor
    rstd: Tensor


class Gradients(NamedTuple):
    """The gradients of x, shaped like x, and of weight and bias, with the sizes they broadcast from."""

    x: Tensor | None
    weight: Tensor | None
    bias: Tensor | None


def normalize(
    x: Tensor,
    dims: tuple[int, ...],
    eps: float,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    centre: bool = True,
) -> tuple[Tensor, Normalized]:
    """Returns y and n of x in two new tensors.

    Args:
        x: any shape.
        dims: the dimensions over which mean and variance are taken.
        eps: added to the variance.
        weight: shaped like x, with size 1 where it is constant; None for 1.
        bias: shaped like the weight; None for 0.
        centre: whether the mean is subtracted; if not, var is the mean square of x itself.
    """
    mean = x.mean(dims, keepdim=True) if centre else None
    centred = x if mean is None else x - mean
    squares = centred * centred
    var = squares.mean(dims, keepdim=True)
    rstd = torch.rsqrt(var + number(eps, var))
    n = centred * rstd if mean is None else centred.mul_(rstd)
    return scale_shift(n, weight, bias, out=squares), Normalized(n, mean, var, rstd)


def normalize_backward(
    grad: Tensor,
    n: Tensor,
    rstd: Tensor,
    dims: tuple[int, ...],
    weight: Tensor | None,
    wanted: tuple[bool, bool, bool],
    centre: bool = True,
) -> Gradients:
    """Returns the gradients of x, weight and bias that are wanted.

    Sums over rows that weigh each feature alike come as products with a vector: h = g w is never stored.
    """
    want_x, want_weight, want_bias = wanted
    sum_dims = [dim for dim in range(n.dim()) if weight is not None and weight.shape[dim] == 1]
    grad_bias = grad.sum(sum_dims, keepdim=True) if want_bias else None
    if not (want_x or want_weight):
        return Gradients(None, None, grad_bias)
    product = grad * n
    grad_weight = product.sum(sum_dims, keepdim=True) if want_weight else None
    if not want_x:
        return Gradients(None, grad_weight, grad_bias)
    count = max(1, n.numel() // max(1, rstd.numel()))
    share = torch.full_like(rstd, -1 / count) if weight is None else weight / number(-count, weight)
    minus_mean = _weighted_sum(grad, share, dims) if centre else None
    minus_mean_product = _weighted_sum(product, share, dims)
    grad_x = scale_shift(grad, weight, minus_mean, out=product)
    return Gradients(grad_x.addcmul_(n, minus_mean_product).mul_(rstd), grad_weight, grad_bias)


def by_position(x: Tensor) -> Tensor:
    """Views ``(N, C, ...)`` as ``(N, C, positions)``."""
    return x.reshape(x.shape[0], x.shape[1], math.prod(x.shape[2:]))


def less(x: Tensor, mean: Tensor) -> Tensor:
    """Returns x - mean of ``(N, C, positions)``, laid out as x is, in memory that is used again and again."""
    n, channels, positions = x.shape
    if x.stride(1) == 1:  # channels last
        out = scratch("norm", (n, positions, channels), x).transpose(1, 2)
    else:
        out = scratch("norm", x.shape, x)
    return torch.sub(x, mean, out=out)


def scale_shift(x: Tensor, weight: Tensor | None, bias: Tensor | None, out: Tensor) -> Tensor:
    """Writes x * weight + bias (None: 1, 0) into ``out``."""
    if weight is None:
        return torch.add(x, 0.0 if bias is None else bias, out=out)
    if bias is None:
        return torch.mul(x, weight, out=out)
    if weight.shape[_side_by_side(x)] > 1:
        return torch.addcmul(bias, x, weight, out=out)
    return torch.mul(x, weight, out=out).add_(bias)  # addcmul is slow where both are the same for neighbours


def _side_by_side(x: Tensor) -> int:
    """Returns the dimension along which the numbers of x lie side by side in memory; the last of equals."""
    if x.dim() and x.shape[-1] > 1 and x.is_contiguous():
        return x.dim() - 1
    strides = [stride if size > 1 else math.inf for stride, size in zip(x.stride(), x.shape, strict=True)]
    return max(range(x.dim()), key=lambda dim: (-strides[dim], dim), default=-1)


def _weighted_sum(x: Tensor, weight: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Returns the sum of x * weight over ``dims``, kept as size 1, without a temporary of x's size."""
    constant = [dim for dim in dims if weight.shape[dim] == 1]
    if not constant:  # x is a matrix, and each of its rows is weighed alike
        return matmul.mm(x, weight.T)
    total = x.sum(constant, keepdim=True) * weight
    return total if len(constant) == len(dims) else total.sum(dims, keepdim=True)
