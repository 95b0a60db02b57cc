"""Adagrad: one step."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def adagrad(
    p: Tensor, g: Tensor, state: dict[str, Any], *, lr: float, lr_decay: float, eps: float
) -> tuple[Tensor, dict[str, Any]]:
    """s = s + g^2,   p = p - lr_t g / (sqrt(s) + eps),   lr_t = lr / (1 + (t - 1) lr_decay)."""
    t = state["step"] + 1
    s = state["sum"] + g**2
    return p - lr / (1 + (t - 1) * lr_decay) * g / (s.sqrt() + eps), {"step": t, "sum": s}
