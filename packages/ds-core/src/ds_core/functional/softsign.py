"""Softsign: the sign of a number, approached slowly."""

from __future__ import annotations

from torch import Tensor


def softsign(x: Tensor) -> tuple[Tensor, Tensor]:
    """Squeezes each number between -1 and 1: y = x / d,   d = 1 + |x|."""
    d = 1 + x.abs()
    return x / d, d


def softsign_backward(grad: Tensor, saved: Tensor) -> Tensor:
    """dL/dx = g / d^2."""
    d = saved
    return grad / d**2  # y = x / (1 + |x|), and (1 + |x|) - x sign(x) = 1
