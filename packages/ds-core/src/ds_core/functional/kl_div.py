"""Kullback-Leibler divergence: how far one distribution is from another."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.reduction import reduce


def kl_div(
    x: Tensor, target: Tensor, log_target: bool = False, reduction: str = "mean"
) -> tuple[Tensor, tuple[Tensor, float]]:
    """Compares log probabilities x with a distribution t: l = t (log t - x), with 0 log 0 = 0.

    With ``log_target``, log t is given in place of t.
    """
    if log_target:
        t, log_t = target.exp(), target
    else:
        t, log_t = target, torch.where(target == 0, 1, target).log()
    loss, share = reduce(torch.where(t == 0, 0, t * (log_t - x)), reduction)
    return loss, (t, share)


def kl_div_backward(grad: Tensor | float, saved: tuple[Tensor, float]) -> Tensor:
    """dl/dx = -t."""
    t, share = saved
    return -grad * share * t  # l = t (log t - x)
