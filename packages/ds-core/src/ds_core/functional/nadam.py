"""NAdam: one step of Adam with Nesterov's look ahead."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def nadam(
    p: Tensor,
    g: Tensor,
    state: dict[str, Any],
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    momentum_decay: float,
) -> tuple[Tensor, dict[str, Any]]:
    """p = p - lr m^ / (sqrt(v^) + eps), with m, v and v^ as in Adam and a momentum that rises towards beta1.

    mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2),   M_t = mu_1 mu_2 ... mu_t
    m^ = mu_{t+1} m / (1 - M_{t+1}) + (1 - mu_t) g / (1 - M_t)
    """
    beta1, beta2 = betas
    t = state["step"] + 1
    mu = beta1 * (1 - 0.96 ** (t * momentum_decay) / 2)
    mu_next = beta1 * (1 - 0.96 ** ((t + 1) * momentum_decay) / 2)
    product = state["mu_product"] * mu
    m = beta1 * state["exp_avg"] + (1 - beta1) * g
    v = beta2 * state["exp_avg_sq"] + (1 - beta2) * g**2
    m_hat = mu_next * m / (1 - product * mu_next) + (1 - mu) * g / (1 - product)
    v_hat = v / (1 - beta2**t)
    new = {"step": t, "mu_product": product, "exp_avg": m, "exp_avg_sq": v}
    return p - lr * m_hat / (v_hat.sqrt() + eps), new
