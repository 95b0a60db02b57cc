"""Focal loss on a processor: what the forward computed, reused in place."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.focal import Saved, focal
from ds_core.functional.reduction import reduce
from ds_core.kernels import kernel
from ds_core.kernels.bce_with_logits import cross_entropy_of
from ds_core.kernels.elementary import sigmoid


@kernel(focal)
class FocalKernel:
    """The same steps, in the memory of what is no longer needed."""

    @staticmethod
    def forward(
        x: Tensor, target: Tensor, alpha: float | None = 0.25, gamma: float = 2.0, reduction: str = "mean"
    ) -> tuple[Tensor, Saved]:
        p = sigmoid(x)
        q = torch.addcmul(p + target, p, target, value=-2).clamp_(min=torch.finfo(p.dtype).tiny)
        c = cross_entropy_of(x, target)
        a = 1.0 if alpha is None else (target * (2 * alpha - 1)).add_(1 - alpha)
        loss, share = reduce((q**gamma).mul_(c).mul_(a), reduction)
        return loss, Saved(p, q, c, a, target, gamma, share)

    @staticmethod
    def backward(grad: Tensor | float, saved: Saved) -> Tensor:
        p, q, c, a, target, gamma, share = saved
        power = q ** (gamma - 1)
        slope_q = p.addcmul(p, p, value=-1).mul_(1 - 2 * target)
        slope = slope_q.mul_(c).mul_(gamma).addcmul_(q, p - target)  # over q^(gamma - 1)
        return slope.mul_(power).mul_(a * (grad * share))
