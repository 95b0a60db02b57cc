"""RAdam, in the parameter's and the state's own memory."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from ds_core.functional.radam import radam, rectification
from ds_core.kernels import update_kernel
from ds_core.kernels.elementary import blocks, number, root


@update_kernel(radam)
def radam_in_place(
    p: Tensor, g: Tensor, state: dict[str, Any], *, lr: float, betas: tuple[float, float], eps: float
) -> tuple[Tensor, dict[str, Any]]:
    """All numbers go into the step size; nothing new but the root of a block."""
    beta1, beta2 = betas
    state["step"] += 1
    t = state["step"]
    mean = state["exp_avg"].lerp_(g, 1 - beta1)
    square = state["exp_avg_sq"].mul_(number(beta2, g)).addcmul_(g, g, value=1 - beta2)
    step_size = lr / (1 - beta1**t)
    r = rectification(t, beta2)
    if not r:
        return p.add_(mean, alpha=-step_size), state
    for some, m, v in blocks(p, mean, square):
        below = root(v).add_(number(eps, v))
        some.addcdiv_(m, below, value=-step_size * r * math.sqrt(1 - beta2**t))
    return p, state
