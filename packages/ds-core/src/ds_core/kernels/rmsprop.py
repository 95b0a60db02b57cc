"""RMSprop, in the parameter's and the state's own memory."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ds_core.functional.rmsprop import rmsprop
from ds_core.kernels import update_kernel
from ds_core.kernels.elementary import blocks, number, root


@update_kernel(rmsprop)
def rmsprop_in_place(
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
    """Nothing new but the root of a block, and what is below it if it is centered."""
    state["step"] += 1
    square = state["square_avg"].mul_(number(alpha, g)).addcmul_(g, g, value=1 - alpha)
    if centered:
        mean = state["grad_avg"].lerp_(g, 1 - alpha)
        square = square.addcmul(mean, mean, value=-1).clamp_(min=0)
    moved = state["momentum_buffer"].mul_(number(momentum, g)) if momentum else p
    for some, by, v in blocks(moved, g, square):
        some.addcdiv_(by, root(v).add_(number(eps, v)), value=1 if momentum else -lr)
    return p.add_(moved, alpha=-lr) if momentum else p, state
