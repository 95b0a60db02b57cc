"""Binary cross-entropy of a probability."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ds_core.functional.reduction import reduce


class Saved(NamedTuple):
    """What the backward needs."""

    x: Tensor
    target: Tensor
    weight: Tensor | float
    share: float


def bce(
    x: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> tuple[Tensor, Saved]:
    """Takes the logarithm of the probability given to what was right.

    l = -w (t log x + (1 - t) log(1 - x))

    A logarithm counts no less than -100. Where a probability is certain, x (1 - x) < 1e-12, the slope is that
    of the backward, a large number in place of infinity.
    """
    w = 1.0 if weight is None else weight
    certain = x * (1 - x) < 1e-12
    safe = torch.where(certain, 0.5, x)
    values = -(target * safe.log() + (1 - target) * (1 - safe).log())
    end = x.detach()
    at_end = -(target * end.log().clamp(min=-100) + (1 - target) * (1 - end).log().clamp(min=-100))
    at_end = at_end + _slope(end, target) * (x - end)  # the last is 0, and has this slope
    loss, share = reduce(w * torch.where(certain, at_end, values), reduction)
    return loss, Saved(x, target, w, share)


def bce_backward(grad: Tensor | float, saved: Saved) -> Tensor:
    """dl/dx = w (x - t) / (x (1 - x)), the denominator no less than 1e-12."""
    x, target, w, share = saved
    return grad * share * (w * _slope(x, target))  # l = -w (t log x + (1 - t) log(1 - x))


def _slope(x: Tensor, target: Tensor) -> Tensor:
    return (x - target) / (x * (1 - x)).clamp(min=1e-12)
