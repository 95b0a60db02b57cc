"""Cross-entropy: how surprised scores are by the right class."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Saved(NamedTuple):
    """What the backward needs."""

    p: Tensor  # (N, C, ...): the probabilities
    t: Tensor  # (N, C, ...): what they should have been, times what the position counts in the result
    total: Tensor  # (N, 1, ...): the sum of t
    dim: int


def cross_entropy(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    smoothing: float = 0.0,
    reduction: str = "mean",
    dim: int = 1,
) -> tuple[Tensor, Saved]:
    """Adds up surprise: l = -sum_c t_c log p_c = T log sum_c exp(x_c) - sum_c t_c x_c,   T = sum_c t_c."""
    t, n = _target(x, target, weight, ignore_index, smoothing, dim)
    if reduction == "mean":
        t = torch.where(n == 0, 0, t / n)
    total = t.sum(dim, keepdim=True)
    z = x - x.detach().amax(dim, keepdim=True)  # l of x and of x - max x is the same
    z = torch.where(total == 0, 0, z)  # whatever the scores are where nothing is wanted
    e = torch.exp(z)
    normaliser = e.sum(dim, keepdim=True)
    values = total * normaliser.log() - torch.where(t == 0, 0, t * z).sum(dim, keepdim=True)
    loss = values.squeeze(dim) if reduction == "none" else values.sum()
    if reduction == "mean":
        loss = torch.where(n == 0, torch.nan, loss)  # the mean of nothing
    return loss, Saved(e / normaliser, t, total, dim)


def cross_entropy_backward(grad: Tensor | float, saved: Saved) -> Tensor:
    """dl/dx = T p - t,   p = softmax(x)."""
    p, t, total, dim = saved
    if isinstance(grad, Tensor) and grad.dim():  # of each position
        grad = grad.unsqueeze(dim)
    return grad * (total * p - t)  # l = T log sum_c exp(x_c) - sum_c t_c x_c


def _target(
    x: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, smoothing: float, dim: int
) -> tuple[Tensor, Tensor]:
    """Returns t = w ((1 - s) q + s / C), q = [c = y] for an index y, and what the mean divides by."""
    w = x.new_ones(()) if weight is None else weight.view(-1, *[1] * (x.dim() - 1 - dim))  # (C, 1, ...)
    classes = x.shape[dim]
    if target.is_floating_point():
        return w * ((1 - smoothing) * target + smoothing / classes), torch.ones_like(x.select(dim, 0)).sum()
    y = target.unsqueeze(dim)
    heard = y != ignore_index
    q = torch.zeros_like(x).scatter(dim, torch.where(heard, y, 0), 1.0)
    t = w * ((1 - smoothing) * q + smoothing / classes)
    return torch.where(heard, t, 0), torch.where(heard, w * q, 0).sum()
