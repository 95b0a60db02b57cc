"""Softmax and its logarithm: each forward with its backward below it."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.elementary import exp, reuse


def softmax(x: Tensor, dim: int = -1, *, hidden_to_zero: bool = False, out: Tensor | None = None) -> Tensor:
    """Turns numbers into probabilities along a dimension.

    y_i = exp(x_i) / sum_j exp(x_j) = exp(x_i - m) / sum_j exp(x_j - m)

    The largest number m is subtracted first, so that no exponential overflows. The quotient is the same for
    every m, so torch's tape need not follow it.

    Args:
        x: any shape.
        dim: the dimension that will sum to 1.
        hidden_to_zero: whether a slice that is -inf throughout becomes zeros; if not, it becomes NaN.
        out: takes the result, if given; may be x itself, and must be None while torch's tape records.

    Shape:
        -> that of x.
    """
    if x.numel() == 0:
        return x.clone()
    m = x.detach().amax(dim, keepdim=True)
    if hidden_to_zero:
        m = m.clamp(min=torch.finfo(x.dtype).min)  # -inf less this is -inf, less itself it is NaN
    z = torch.sub(x, m, out=out)  # at most 0
    y = exp(z, out=reuse(z))
    total = y.sum(dim, keepdim=True)
    if hidden_to_zero:
        total = total.clamp(min=1)  # 0 of a hidden slice; in all others the largest number alone adds 1
    return torch.div(y, total, out=reuse(y))


def softmax_backward(grad: Tensor, y: Tensor, dim: int = -1) -> Tensor:
    """Returns dL/dx_i = y_i (g_i - sum_j g_j y_j).

    Args:
        grad: dL/dy, shaped like y.
        y: the output of :func:`softmax`.
        dim: the dimension that sums to 1.
    """
    grad_x = grad * y
    return grad_x.addcmul_(y, grad_x.sum(dim, keepdim=True), value=-1)


def log_softmax(x: Tensor, dim: int = -1) -> Tensor:
    """Returns the logarithm of :func:`softmax`, without ever taking the logarithm of a rounded 0.

    y_i = x_i - m - log sum_j exp(x_j - m)

    Args:
        x: any shape.
        dim: along which the probabilities sum to 1.

    Shape:
        -> that of x.
    """
    if x.numel() == 0:
        return x.clone()
    z = x - x.detach().amax(dim, keepdim=True)
    return torch.sub(z, exp(z).sum(dim, keepdim=True).log(), out=reuse(z))


def log_softmax_backward(grad: Tensor, y: Tensor, dim: int = -1) -> Tensor:
    """Returns dL/dx_i = g_i - exp(y_i) sum_j g_j.

    Args:
        grad: dL/dy, shaped like y.
        y: the output of :func:`log_softmax`.
        dim: as in the forward.
    """
    probabilities = exp(y)
    return torch.addcmul(grad, probabilities, grad.sum(dim, keepdim=True), value=-1, out=probabilities)
