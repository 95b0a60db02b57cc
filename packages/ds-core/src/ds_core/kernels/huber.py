"""Huber and smooth L1 on a processor: the gradient in the memory of the error."""

from __future__ import annotations

from torch import Tensor

from ds_core.functional.huber import Saved, huber, smooth_l1
from ds_core.functional.reduction import reduce
from ds_core.kernels import kernel


@kernel(huber)
class HuberKernel:
    """The error d is kept, and becomes d g, cut off."""

    @staticmethod
    def forward(
        x: Tensor, target: Tensor, delta: float = 1.0, reduction: str = "mean"
    ) -> tuple[Tensor, Saved]:
        d = x - target
        loss, share = reduce(_bend(d, delta), reduction)
        return loss, (d, delta, share)

    @staticmethod
    def backward(grad: Tensor | float, saved: Saved) -> Tensor:
        d, delta, share = saved
        return d.clamp_(-delta, delta).mul_(grad * share)


@kernel(smooth_l1)
class SmoothL1Kernel:
    """The same over beta."""

    @staticmethod
    def forward(
        x: Tensor, target: Tensor, beta: float = 1.0, reduction: str = "mean"
    ) -> tuple[Tensor, Saved]:
        d = x - target
        loss, share = reduce(_bend(d, beta).div_(beta) if beta else d.abs(), reduction)
        return loss, (d, beta, share)

    @staticmethod
    def backward(grad: Tensor | float, saved: Saved) -> Tensor:
        d, beta, share = saved
        slope = d.div_(beta).clamp_(-1, 1) if beta else d.sign_()
        return slope.mul_(grad * share)


def _bend(d: Tensor, bound: float) -> Tensor:
    """Returns m (|d| - m / 2), with m = min(|d|, bound)."""
    a = d.abs()
    m = a.clamp(max=bound)
    return a.sub_(m, alpha=0.5).mul_(m)
