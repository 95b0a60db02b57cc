"""NAdam, in the parameter's and the state's own memory."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from ds_core.functional.nadam import nadam
from ds_core.kernels import update_kernel
from ds_core.kernels.elementary import blocks, number, root


@update_kernel(nadam)
def nadam_in_place(
    p: Tensor,
    g: Tensor,
    state: dict[str, Any],
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    momentum_decay: float,
) -> tuple[Tensor, dict[str, Any]]:
    """The two parts of m^ are added to p one after the other."""
    beta1, beta2 = betas
    state["step"] += 1
    t = state["step"]
    mu = beta1 * (1 - 0.96 ** (t * momentum_decay) / 2)
    mu_next = beta1 * (1 - 0.96 ** ((t + 1) * momentum_decay) / 2)
    state["mu_product"] *= mu
    mean = state["exp_avg"].lerp_(g, 1 - beta1)
    square = state["exp_avg_sq"].mul_(number(beta2, g)).addcmul_(g, g, value=1 - beta2)
    for some, by, m, v in blocks(p, g, mean, square):
        below = root(v).div_(number(math.sqrt(1 - beta2**t), v)).add_(number(eps, v))
        some.addcdiv_(by, below, value=-lr * (1 - mu) / (1 - state["mu_product"]))
        some.addcdiv_(m, below, value=-lr * mu_next / (1 - state["mu_product"] * mu_next))
    return p, state
