"""Huber and smooth L1: squared near the target, straight further off."""

from __future__ import annotations

from torch import Tensor

from ds_core.functional.reduction import reduce

Saved = tuple[Tensor, float, float]  # d, delta or beta, share


def huber(x: Tensor, target: Tensor, delta: float = 1.0, reduction: str = "mean") -> tuple[Tensor, Saved]:
    """Bends a parabola into a straight line: l = m (|d| - m / 2),   m = min(|d|, delta),   d = x - t."""
    d = x - target
    loss, share = reduce(_bend(d, delta), reduction)
    return loss, (d, delta, share)


def huber_backward(grad: Tensor | float, saved: Saved) -> Tensor:
    """dl/dx = d, cut off at -delta and delta."""
    d, delta, share = saved
    return grad * share * d.clamp(-delta, delta)  # l = d^2 / 2, or delta |d| - delta^2 / 2


def smooth_l1(x: Tensor, target: Tensor, beta: float = 1.0, reduction: str = "mean") -> tuple[Tensor, Saved]:
    """Divides Huber's by beta: l = m (|d| - m / 2) / beta,   m = min(|d|, beta);   for beta = 0, l = |d|."""
    d = x - target
    loss, share = reduce(_bend(d, beta) / beta if beta else d.abs(), reduction)
    return loss, (d, beta, share)


def smooth_l1_backward(grad: Tensor | float, saved: Saved) -> Tensor:
    """dl/dx = d / beta, cut off at -1 and 1;   for beta = 0, sign(d)."""
    d, beta, share = saved
    slope = (d / beta).clamp(-1, 1) if beta else d.sign()  # l = d^2 / (2 beta), or |d| - beta / 2
    return grad * share * slope


def _bend(d: Tensor, bound: float) -> Tensor:
    """Returns m (|d| - m / 2), with m = min(|d|, bound)."""
    m = d.abs().clamp(max=bound)
    return m * (d.abs() - m / 2)
