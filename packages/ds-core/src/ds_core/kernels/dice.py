"""Dice loss on a processor: masks as rows, some of them at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.dice import Saved, dice
from ds_core.functional.reduction import reduce
from ds_core.kernels import kernel
from ds_core.kernels.elementary import parts, sigmoid
from ds_core.kernels.scratch import scratch


@kernel(dice)
class DiceKernel:
    """Views masks as ``(N, pixels)``; products of some rows stay in the cache, and only p is kept."""

    @staticmethod
    def forward(
        x: Tensor, target: Tensor, smooth: float = 1.0, reduction: str = "mean"
    ) -> tuple[Tensor, Saved]:
        p, t = sigmoid(x), target.flatten(1)
        rows = p.flatten(1)
        n, d = rows.new_empty(len(rows), 1), rows.new_empty(len(rows), 1)
        for some in parts(*rows.shape):
            product = torch.mul(rows[some], t[some], out=_memory(rows[some]))
            torch.sum(product, 1, keepdim=True, out=n[some]).mul_(2).add_(smooth)
            d[some] = rows[some].sum(1, keepdim=True).add_(t[some].sum(1, keepdim=True)).add_(smooth)
        loss, share = reduce((1 - n / d).flatten(), reduction)
        return loss, Saved(p, t, n, d, share)

    @staticmethod
    def backward(grad: Tensor | float, saved: Saved) -> Tensor:
        p, t, n, d, share = saved
        grad = grad * share
        if isinstance(grad, Tensor):
            grad = grad.view(-1, 1)
        scale = grad / d  # (N, 1)
        of_truth, of_all, rows = -2 * scale, n / d * scale, p.flatten(1)
        for some in parts(*rows.shape):
            grad_p = torch.mul(t[some], of_truth[some], out=_memory(rows[some])).add_(of_all[some])
            part = rows[some]
            part.addcmul_(part, part, value=-1).mul_(grad_p)
        return rows.view(p.shape)


def _memory(like: Tensor) -> Tensor:
    return scratch("dice", like.shape, like)
