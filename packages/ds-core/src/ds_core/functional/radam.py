"""RAdam: one step of Adam that trusts its running mean of squares by how many gradients are in it."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor


def radam(
    p: Tensor, g: Tensor, state: dict[str, Any], *, lr: float, betas: tuple[float, float], eps: float
) -> tuple[Tensor, dict[str, Any]]:
    """p = p - lr r m^ sqrt(1 - beta2^t) / (sqrt(v) + eps) where n > 5, else p - lr m^; m, v, m^ as in Adam.

    n = n_inf - 2 t beta2^t / (1 - beta2^t),   n_inf = 2 / (1 - beta2) - 1
    r^2 = (n - 4) (n - 2) n_inf / ((n_inf - 4) (n_inf - 2) n)
    """
    beta1, beta2 = betas
    t = state["step"] + 1
    m = beta1 * state["exp_avg"] + (1 - beta1) * g
    v = beta2 * state["exp_avg_sq"] + (1 - beta2) * g**2
    m_hat = m / (1 - beta1**t)
    r = rectification(t, beta2)
    direction = r * m_hat * math.sqrt(1 - beta2**t) / (v.sqrt() + eps) if r else m_hat
    return p - lr * direction, {"step": t, "exp_avg": m, "exp_avg_sq": v}


def rectification(t: int, beta2: float) -> float:
    """Returns r, which rises to 1 with t, or 0 while too few gradients are in the mean (n <= 5)."""
    n_inf = 2 / (1 - beta2) - 1
    n = n_inf - 2 * t * beta2**t / (1 - beta2**t)
    return math.sqrt((n - 4) * (n - 2) * n_inf / ((n_inf - 4) * (n_inf - 2) * n)) if n > 5 else 0.0
