"""Softmax, its logarithm, and Softmin: scores to probabilities."""

from __future__ import annotations

import torch
from torch import Tensor

Saved = tuple[Tensor, int]  # y, dim


def softmax(x: Tensor, dim: int = -1, hidden_to_zero: bool = False) -> tuple[Tensor, Saved]:
    """Turns numbers into probabilities along a dimension.

    y_i = exp(x_i) / sum_j exp(x_j) = exp(x_i - m) / sum_j exp(x_j - m)

    With m the largest number, no exponential overflows. The quotient is the same for every m, which therefore
    has no part in any derivative.

    Args:
        x: any shape.
        dim: the dimension that will sum to 1.
        hidden_to_zero: whether a slice that is -inf throughout becomes zeros; if not, it becomes NaN.
    """
    if x.numel() == 0:
        return x, (x, dim)
    m = x.detach().amax(dim, keepdim=True)
    if hidden_to_zero:
        m = torch.where(m == -torch.inf, 0, m)
    e = torch.exp(x - m)
    total = e.sum(dim, keepdim=True)
    if hidden_to_zero:
        total = torch.where(total == 0, 1, total)
    y = e / total
    return y, (y, dim)


def softmax_backward(grad: Tensor, saved: Saved) -> Tensor:
    """dL/dx_i = y_i (g_i - sum_j g_j y_j)."""
    y, dim = saved
    return y * (grad - (grad * y).sum(dim, keepdim=True))  # y_i = exp(x_i) / sum_j exp(x_j)


def log_softmax(x: Tensor, dim: int = -1) -> tuple[Tensor, Saved]:
    """Takes the logarithm of the softmax, without ever taking that of a rounded 0.

    y_i = x_i - m - log sum_j exp(x_j - m), with m the largest number
    """
    if x.numel() == 0:
        return x, (x, dim)
    z = x - x.detach().amax(dim, keepdim=True)
    y = z - torch.exp(z).sum(dim, keepdim=True).log()
    return y, (y, dim)


def log_softmax_backward(grad: Tensor, saved: Saved) -> Tensor:
    """dL/dx_i = g_i - exp(y_i) sum_j g_j."""
    y, dim = saved
    return grad - torch.exp(y) * grad.sum(dim, keepdim=True)  # y_i = x_i - log sum_j exp(x_j)


def softmin(x: Tensor, dim: int = -1) -> tuple[Tensor, Saved]:
    """Turns numbers into probabilities, the smallest into the largest.

    y_i = exp(-x_i) / sum_j exp(-x_j)
    """
    return softmax(-x, dim)


def softmin_backward(grad: Tensor, saved: Saved) -> Tensor:
    """dL/dx_i = -y_i (g_i - sum_j g_j y_j)."""
    return -softmax_backward(grad, saved)  # y = softmax(-x)
