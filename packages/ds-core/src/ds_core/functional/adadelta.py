"""Adadelta: one step."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def adadelta(
    p: Tensor, g: Tensor, state: dict[str, Any], *, lr: float, rho: float, eps: float
) -> tuple[Tensor, dict[str, Any]]:
    """p = p - lr d,   d = sqrt(u + eps) / sqrt(v + eps) g, with running means v of g^2 and u of d^2.

    v = rho v + (1 - rho) g^2   before d,   u = rho u + (1 - rho) d^2   after it
    """
    v = rho * state["square_avg"] + (1 - rho) * g**2
    d = (state["acc_delta"] + eps).sqrt() / (v + eps).sqrt() * g
    u = rho * state["acc_delta"] + (1 - rho) * d**2
    return p - lr * d, {"step": state["step"] + 1, "square_avg": v, "acc_delta": u}
