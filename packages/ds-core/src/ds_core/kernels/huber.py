"""Huber and smooth L1 on a processor: one tensor of the error at a time."""

from __future__ import annotations

from torch import Tensor

from ds_core.functional.huber import huber, smooth_l1
from ds_core.functional.reduction import reduce
from ds_core.kernels import kernel

Saved = tuple[Tensor, Tensor, float, float]  # x, target, delta or beta, share


@kernel(huber)
class HuberKernel:
    """Keeps no error, but computes it again: that costs less than the memory."""

    @staticmethod
    def forward(
        x: Tensor, target: Tensor, delta: float = 1.0, reduction: str = "mean"
    ) -> tuple[Tensor, Saved]:
        loss, share = reduce(_bend(x - target, delta), reduction)
        return loss, (x, target, delta, share)

    @staticmethod
    def backward(grad: Tensor | float, saved: Saved) -> Tensor:
        x, target, delta, share = saved
        return (x - target).clamp_(-delta, delta).mul_(grad * share)


@kernel(smooth_l1)
class SmoothL1Kernel:
    """The same over beta."""

    @staticmethod
    def forward(
        x: Tensor, target: Tensor, beta: float = 1.0, reduction: str = "mean"
    ) -> tuple[Tensor, Saved]:
        d = x - target
        loss, share = reduce(_bend(d, beta).div_(beta) if beta else d.abs_(), reduction)
        return loss, (x, target, beta, share)

    @staticmethod
    def backward(grad: Tensor | float, saved: Saved) -> Tensor:
        x, target, beta, share = saved
        d = x - target
        slope = d.div_(beta).clamp_(-1, 1) if beta else d.sign_()
        return slope.mul_(grad * share)


def _bend(d: Tensor, bound: float) -> Tensor:
    """Returns m (|d| - m / 2), with m = min(|d|, bound), in the memory of d."""
    d.abs_()
    m = d.clamp(max=bound)
    return d.sub_(m, alpha=0.5).mul_(m)
