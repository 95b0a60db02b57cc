"""Focal loss on a processor: values and slopes in one go, a block of scores at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.focal import focal
from ds_core.functional.reduction import reduce
from ds_core.kernels import branch, kernel
from ds_core.kernels.bce_with_logits import cross_entropy_of
from ds_core.kernels.elementary import parts, sigmoid


@kernel(focal, branches=("one block", "several blocks"))
class FocalKernel:
    """What the values are made of stays in the cache, and makes the slopes, too: only those are kept."""

    @staticmethod
    def forward(
        x: Tensor, target: Tensor, alpha: float | None = 0.25, gamma: float = 2.0, reduction: str = "mean"
    ) -> tuple[Tensor, tuple[Tensor, float]]:
        scores, truth = x.reshape(-1), target.reshape(-1)
        values, slopes = torch.empty_like(scores), torch.empty_like(scores)
        blocks = parts(len(scores), 1)
        branch(f"FocalKernel: {'several blocks' if len(blocks) > 1 else 'one block'}")
        for some in blocks:
            t = truth[some]
            p, sign = sigmoid(scores[some]), 1 - 2 * t
            q = torch.addcmul(t, p, sign).clamp_(min=torch.finfo(p.dtype).tiny)
            c = cross_entropy_of(scores[some], t)
            power = q ** (gamma - 1)
            if alpha is not None:
                power.mul_((t * (2 * alpha - 1)).add_(1 - alpha))  # a q^(gamma - 1)
            torch.mul(power, q, out=values[some]).mul_(c)
            of_q = torch.addcmul(p, p, p, value=-1).mul_(sign)
            slope = torch.mul(q, p.sub_(t), out=slopes[some])
            slope.addcmul_(of_q, c, value=gamma).mul_(power)
        loss, share = reduce(values.view(x.shape), reduction)
        return loss, (slopes.view(x.shape), share)

    @staticmethod
    def backward(grad: Tensor | float, saved: tuple[Tensor, float]) -> Tensor:
        slopes, share = saved
        return slopes.mul_(grad * share)
