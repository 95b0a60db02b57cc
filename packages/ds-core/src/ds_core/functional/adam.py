"""Adam: one step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def adam(
    p: Tensor,
    g: Tensor,
    state: dict[str, Any],
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    amsgrad: bool,
) -> tuple[Tensor, dict[str, Any]]:
    """p = p - lr m^ / (sqrt(v^) + eps), with running means m of the gradient and v of its square.

    m = beta1 m + (1 - beta1) g,            m^ = m / (1 - beta1^t)
    v = beta2 v + (1 - beta2) g^2,          v^ = v / (1 - beta2^t)   (amsgrad: of the largest v so far)
    """
    beta1, beta2 = betas
    t = state["step"] + 1
    m = beta1 * state["exp_avg"] + (1 - beta1) * g
    v = beta2 * state["exp_avg_sq"] + (1 - beta2) * g**2
    new = {"step": t, "exp_avg": m, "exp_avg_sq": v}
    if amsgrad:
        v = new["max_exp_avg_sq"] = torch.maximum(state["max_exp_avg_sq"], v)
    m_hat = m / (1 - beta1**t)  # as if the mean had not begun with zeros
    v_hat = v / (1 - beta2**t)
    return p - lr * m_hat / (v_hat.sqrt() + eps), new
