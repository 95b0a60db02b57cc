"""Mean absolute error."""

from __future__ import annotations

from torch import Tensor

from ds_core.functional.reduction import reduce


def l1(x: Tensor, target: Tensor, reduction: str = "mean") -> tuple[Tensor, tuple[Tensor, float]]:
    """Takes the distance: l = |d|,   d = x - t."""
    d = x - target
    loss, share = reduce(d.abs(), reduction)
    return loss, (d, share)


def l1_backward(grad: Tensor | float, saved: tuple[Tensor, float]) -> Tensor:
    """dl/dx = sign(d)."""
    d, share = saved
    return grad * share * d.sign()  # l = |d|, d = x - t
