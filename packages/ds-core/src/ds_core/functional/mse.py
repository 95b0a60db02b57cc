"""Mean squared error."""

from __future__ import annotations

from torch import Tensor

from ds_core.functional.reduction import reduce


def mse(x: Tensor, target: Tensor, reduction: str = "mean") -> tuple[Tensor, tuple[Tensor, float]]:
    """Squares the error: l = d^2,   d = x - t."""
    d = x - target
    loss, share = reduce(d**2, reduction)
    return loss, (d, share)


def mse_backward(grad: Tensor | float, saved: tuple[Tensor, float]) -> Tensor:
    """dl/dx = 2 d."""
    d, share = saved
    return grad * share * 2 * d  # l = d^2, d = x - t
