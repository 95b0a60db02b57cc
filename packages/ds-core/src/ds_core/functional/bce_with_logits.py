"""Binary cross-entropy of a score."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ds_core.functional.reduction import reduce
from ds_core.functional.sigmoid import sigmoid
from ds_core.functional.softplus import softplus


class Saved(NamedTuple):
    """What the backward needs."""

    x: Tensor
    target: Tensor
    weight: Tensor | float
    pos_weight: Tensor | float
    share: float


def bce_with_logits(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
    reduction: str = "mean",
) -> tuple[Tensor, Saved]:
    """Takes the logarithm of the probability given to what was right, from the score x.

    l = w (q t softplus(-x) + (1 - t) softplus(x)), as -log s = softplus(-x) and -log(1 - s) = softplus(x) for
    s = 1 / (1 + exp(-x))
    """
    w, q = 1.0 if weight is None else weight, 1.0 if pos_weight is None else pos_weight
    yes, _ = softplus(-x)
    no, _ = softplus(x)
    loss, share = reduce(w * (q * target * yes + (1 - target) * no), reduction)
    return loss, Saved(x, target, w, q, share)


def bce_with_logits_backward(grad: Tensor | float, saved: Saved) -> Tensor:
    """dl/dx = w ((1 - t) s(x) - q t s(-x)),   s(x) = 1 / (1 + exp(-x))."""
    x, target, w, q, share = saved
    slope_no, _ = sigmoid(x)  # softplus(x)
    slope_yes, _ = sigmoid(-x)  # softplus(-x), whose slope is the negative
    return grad * share * (w * ((1 - target) * slope_no - q * target * slope_yes))
