"""Mean absolute error on a processor: one tensor of the error at a time."""

from __future__ import annotations

from torch import Tensor

from ds_core.functional.l1 import l1
from ds_core.functional.reduction import reduce
from ds_core.kernels import kernel

Saved = tuple[Tensor, Tensor, float]  # x, target, share


@kernel(l1)
class L1Kernel:
    """Keeps no error, but computes it again: that costs less than the memory."""

    @staticmethod
    def forward(x: Tensor, target: Tensor, reduction: str = "mean") -> tuple[Tensor, Saved]:
        loss, share = reduce((x - target).abs_(), reduction)
        return loss, (x, target, share)

    @staticmethod
    def backward(grad: Tensor | float, saved: Saved) -> Tensor:
        x, target, share = saved
        return (x - target).sign_().mul_(grad * share)
