"""RMSprop: one step."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def rmsprop(
    p: Tensor,
    g: Tensor,
    state: dict[str, Any],
    *,
    lr: float,
    alpha: float,
    eps: float,
    momentum: float,
    centered: bool,
) -> tuple[Tensor, dict[str, Any]]:
    """p = p - lr r,   r = g / (sqrt(v) + eps),   v = alpha v + (1 - alpha) g^2.

    centred:        r = g / (sqrt(v - m^2) + eps),   m = alpha m + (1 - alpha) g
    with momentum:  b = momentum b + r,   p = p - lr b
    """
    v = alpha * state["square_avg"] + (1 - alpha) * g**2
    new = {**state, "step": state["step"] + 1, "square_avg": v}
    if centered:
        m = new["grad_avg"] = alpha * state["grad_avg"] + (1 - alpha) * g
        v = (v - m**2).clamp(min=0)  # a variance; rounding may leave it just below zero
    r = g / (v.sqrt() + eps)
    if momentum == 0:
        return p - lr * r, new
    b = new["momentum_buffer"] = momentum * state["momentum_buffer"] + r
    return p - lr * b, new
