"""Dice loss on a processor: masks as rows."""

from __future__ import annotations

from torch import Tensor

from ds_core.functional.dice import Saved, dice
from ds_core.functional.reduction import reduce
from ds_core.kernels import kernel
from ds_core.kernels.elementary import sigmoid


@kernel(dice)
class DiceKernel:
    """Views masks as ``(N, pixels)``; the slope of the sigmoid is computed in place."""

    @staticmethod
    def forward(
        x: Tensor, target: Tensor, smooth: float = 1.0, reduction: str = "mean"
    ) -> tuple[Tensor, Saved]:
        p, t = sigmoid(x), target.flatten(1)
        rows = p.flatten(1)
        n = (rows * t).sum(1, keepdim=True).mul_(2).add_(smooth)  # (N, 1)
        d = rows.sum(1, keepdim=True).add_(t.sum(1, keepdim=True)).add_(smooth)
        loss, share = reduce((1 - n / d).flatten(), reduction)
        return loss, Saved(p, t, n, d, share)

    @staticmethod
    def backward(grad: Tensor | float, saved: Saved) -> Tensor:
        p, t, n, d, share = saved
        grad = grad * share
        if isinstance(grad, Tensor):
            grad = grad.view(-1, 1)
        scale = grad / d  # (N, 1)
        grad_p = (t * (-2 * scale)).add_(n / d * scale).view(p.shape)
        slope = p.addcmul_(p, p, value=-1)
        return grad_p.mul_(slope)
