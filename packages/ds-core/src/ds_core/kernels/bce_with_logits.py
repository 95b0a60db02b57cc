"""Binary cross-entropy of scores on a processor: one exponential for both logarithms."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.bce_with_logits import Saved, bce_with_logits
from ds_core.functional.reduction import reduce
from ds_core.kernels import kernel
from ds_core.kernels.elementary import exp, sigmoid


@kernel(bce_with_logits)
class BCEWithLogitsKernel:
    """softplus(x) and softplus(-x) are max(x, 0) and max(-x, 0), plus log(1 + exp(-|x|)) both.

    The slope is s(x) - t, or with q: 1 - t - (1 + (q - 1) t) s(-x).
    """

    @staticmethod
    def forward(
        x: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        pos_weight: Tensor | None = None,
        reduction: str = "mean",
    ) -> tuple[Tensor, Saved]:
        values = cross_entropy_of(x, target, pos_weight)
        loss, share = reduce(values if weight is None else values * weight, reduction)
        w, q = 1.0 if weight is None else weight, 1.0 if pos_weight is None else pos_weight
        return loss, Saved(x, target, w, q, share)

    @staticmethod
    def backward(grad: Tensor | float, saved: Saved) -> Tensor:
        x, target, weight, q, share = saved
        if isinstance(q, Tensor):
            slope = (1 - target).sub_((1 + (q - 1) * target) * sigmoid(x, -1))
        else:
            slope = sigmoid(x).sub_(target)
        return slope.mul_(weight * (grad * share))


def cross_entropy_of(x: Tensor, target: Tensor, pos_weight: Tensor | None = None) -> Tensor:
    """Returns q t softplus(-x) + (1 - t) softplus(x), in a new tensor."""
    values = x.abs()
    exp(values, -1, out=values).log1p_()
    yes = target
    if pos_weight is not None:
        yes = pos_weight * target
        values.mul_(1 + (pos_weight - 1) * target)
    part = torch.clamp(x, min=0)
    values.addcmul_(part, 1 - target)
    return values.addcmul_(torch.clamp(x, max=0, out=part), yes, value=-1)
