"""Gaussian negative log likelihood: a prediction that says how sure it is."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ds_core.functional.reduction import reduce


class Saved(NamedTuple):
    """What the backward needs."""

    d: Tensor  # (...)
    v: Tensor  # broadcasts to (...)
    share: float


def gaussian_nll(
    x: Tensor,
    target: Tensor,
    var: Tensor,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> tuple[Tensor, Saved]:
    """Measures the error in units of the variance that was predicted with it, and that variance itself.

    l = (log v + d^2 / v) / 2,   d = x - t,   v = max(var, eps);   in full: + log(2 pi) / 2

    Where the variance counts as eps, its slope is that at eps: it can grow again.
    """
    v = torch.where(var < eps, eps + (var - var.detach()), var)  # the difference is 0, of slope 1
    d = x - target
    values = (v.log() + d**2 / v) / 2
    loss, share = reduce(values + math.log(2 * math.pi) / 2 if full else values, reduction)
    return loss, Saved(d, v, share)


def gaussian_nll_backward(grad: Tensor | float, saved: Saved) -> tuple[Tensor, Tensor]:
    """dl/dx = d / v;   dl/dvar = (1 / v - d^2 / v^2) / 2, summed over all that share a variance."""
    d, v, share = saved
    u = d / v
    grad_var = grad * share * (1 / v - u**2) / 2  # l = (log v + d^2 / v) / 2
    grad_x = grad * share * u  # d = x - t
    return grad_x, grad_var.sum_to_size(v.shape)
