"""Mean squared error on a processor: one tensor of the error at a time."""

from __future__ import annotations

from torch import Tensor

from ds_core.functional.mse import mse
from ds_core.functional.reduction import reduce
from ds_core.kernels import kernel

Saved = tuple[Tensor, Tensor, float]  # x, target, share


@kernel(mse)
class MSEKernel:
    """Keeps no error, but computes it again: that costs less than the memory."""

    @staticmethod
    def forward(x: Tensor, target: Tensor, reduction: str = "mean") -> tuple[Tensor, Saved]:
        d = x - target
        loss, share = reduce(d.mul_(d), reduction)
        return loss, (x, target, share)

    @staticmethod
    def backward(grad: Tensor | float, saved: Saved) -> Tensor:
        x, target, share = saved
        return (x - target).mul_(grad * share * 2)
