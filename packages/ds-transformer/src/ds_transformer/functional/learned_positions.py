"""A trained vector for each place, added to what stands there."""

from __future__ import annotations

import torch
from torch import Tensor

Saved = tuple[int, Tensor]  # past, table


def learned_positions(x: Tensor, table: Tensor, past: int) -> tuple[Tensor, Saved]:
    """Adds the rows of a table from ``past`` on:   y_t = x_t + W_(past + t), for x ``(..., T, C)``."""
    return x + table[past : past + x.shape[-2]], (past, table)


def learned_positions_backward(grad: Tensor, saved: Saved) -> tuple[Tensor, Tensor]:
    """dL/dx = g,   dL/dW_(past + t) = sum of g_t over the batch; the other rows have 0."""
    past, table = saved
    rows = grad.sum_to_size(grad.shape[-2:])  # y_t = x_t + W_(past + t)
    before, after = table[:past], table[past + len(rows) :]  # which nobody read
    grad_table = torch.cat((torch.zeros_like(before), rows, torch.zeros_like(after)))
    return grad, grad_table
