"""Adam, in the parameter's and the state's own memory."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ds_core.functional.adam import adam
from ds_core.kernels import update_kernel
from ds_core.kernels.elementary import blocks, number, root


@update_kernel(adam)
def adam_in_place(
    p: Tensor,
    g: Tensor,
    state: dict[str, Any],
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    amsgrad: bool,
) -> tuple[Tensor, dict[str, Any]]:
    """Both corrections are numbers: folded into the step size and eps, they cost no pass over a tensor."""
    beta1, beta2 = betas
    state["step"] += 1
    mean = state["exp_avg"].lerp_(g, 1 - beta1)
    square = state["exp_avg_sq"].mul_(number(beta2, g)).addcmul_(g, g, value=1 - beta2)
    if amsgrad:
        square = torch.maximum(state["max_exp_avg_sq"], square, out=state["max_exp_avg_sq"])
    correction1 = 1 - beta1 ** state["step"]
    correction2 = math.sqrt(1 - beta2 ** state["step"])
    for some, m, v in blocks(p, mean, square):
        some.addcdiv_(m, root(v).add_(number(eps * correction2, v)), value=-lr * correction2 / correction1)
    return p, state
