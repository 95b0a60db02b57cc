"""Negative log likelihood: the log probability of the right class."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Saved(NamedTuple):
    """What the backward needs."""

    classes: Tensor  # (N, 1, ...): the right ones
    share: Tensor  # (N, 1, ...): what each position counts in the result
    shape: torch.Size  # of x
    dim: int


def nll(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    dim: int = 1,
) -> tuple[Tensor, Saved]:
    """Takes the log probability of the right class y: l = -w_y x_y, and 0 where y is ``ignore_index``.

    The mean divides by the sum of the w_y; that of nothing is NaN.
    """
    y = target.unsqueeze(dim)  # (N, 1, ...)
    heard = y != ignore_index
    index = torch.where(heard, y, 0)
    w = x.new_ones(()) if weight is None else weight[index]
    share = torch.where(heard, w, 0)
    n = share.sum()
    if reduction == "mean":
        share = torch.where(n == 0, 0, share / n)
    values = -share * torch.where(share == 0, 0, x.gather(dim, index))
    loss = values.squeeze(dim) if reduction == "none" else values.sum()
    if reduction == "mean":
        loss = torch.where(n == 0, torch.nan, loss)
    return loss, Saved(index, share, x.shape, dim)


def nll_backward(grad: Tensor | float, saved: Saved) -> Tensor:
    """dl/dx_c = -w_y where c = y, else 0."""
    index, share, shape, dim = saved
    if isinstance(grad, Tensor) and grad.dim():  # of each position
        grad = grad.unsqueeze(dim)
    return share.new_zeros(shape).scatter(dim, index, -grad * share)  # l = -w_y x_y
