"""One position of each sequence, as a head reads it."""

from __future__ import annotations

import torch
from torch import Tensor

Saved = tuple[Tensor, torch.Size, int]  # where, over all numbers; size of x; dim


def one_position(x: Tensor, only: Tensor, dim: int) -> tuple[Tensor, Saved]:
    """Takes the position t_b of sequence b:   y_b = x_b(t_b).

    Args:
        x: ``(B, T, C)``, or ``(T, B, C)``.
        only: the positions t, integers ``(B,)``.
        dim: of the positions: 1 or 0.

    Returns:
        ``(B, 1, C)``, or ``(1, B, C)``.
    """
    where = only.unsqueeze(dim).unsqueeze(2).expand(-1, -1, x.shape[2])
    return x.gather(dim, where), (where, x.shape, dim)


def one_position_backward(grad: Tensor, saved: Saved) -> Tensor:
    """dL/dx_b(t_b) = g_b, and 0 at positions that nobody read."""
    where, size, dim = saved
    return grad.new_zeros(size).scatter(dim, where, grad)
