"""Poisson negative log likelihood: how many times something happens."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ds_core.functional.reduction import reduce


class Saved(NamedTuple):
    """What the backward needs."""

    x: Tensor
    target: Tensor
    log_input: bool
    eps: float
    share: float


def poisson_nll(
    x: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> tuple[Tensor, Saved]:
    """Compares a count t with the expected number, r, given as x = log r or as x = r.

    l = exp(x) - t x,   or   x - t log(x + eps)

    In full, log t! is added as Stirling has it: t log t - t + log(2 pi t) / 2 where t > 1, else 0.
    """
    values = x.exp() - target * x if log_input else x - target * (x + eps).log()
    if full:
        t = torch.where(target > 1, target, 1)
        stirling = t * t.log() - t + (2 * math.pi * t).log() / 2
        values = values + torch.where(target > 1, stirling, 0)
    loss, share = reduce(values, reduction)
    return loss, Saved(x, target, log_input, eps, share)


def poisson_nll_backward(grad: Tensor | float, saved: Saved) -> Tensor:
    """dl/dx = exp(x) - t,   or   1 - t / (x + eps)."""
    x, target, log_input, eps, share = saved
    # l = exp(x) - t x,   or   x - t log(x + eps)
    slope = x.exp() - target if log_input else 1 - target / (x + eps)
    return grad * share * slope
