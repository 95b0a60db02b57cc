"""Looking up: a row of a table for each id."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Saved(NamedTuple):
    """What the backward needs."""

    ids: Tensor  # (...)
    size: tuple[int, ...]  # of the table, (V, D)
    padding_idx: int | None


def embedding(ids: Tensor, weight: Tensor, padding_idx: int | None = None) -> tuple[Tensor, Saved]:
    """Looks up rows of a table, y = W[ids]; the row ``padding_idx`` counts as a constant."""
    y = weight[ids]  # (..., D)
    if padding_idx is not None:
        y = torch.where((ids == padding_idx).unsqueeze(-1), y.detach(), y)
    return y, Saved(ids, weight.shape, padding_idx)


def embedding_backward(grad: Tensor, saved: Saved) -> Tensor:
    """dL/dW[v] = sum of g over the places where ids = v;   0 for the padding."""
    ids, size, padding_idx = saved
    if padding_idx is not None:
        grad = torch.where((ids == padding_idx).unsqueeze(-1), 0, grad)  # y is a constant there
    rows = grad.reshape(ids.numel(), size[1])
    return grad.new_zeros(size).index_add(0, ids.flatten(), rows)  # y = W[ids]
