"""RMSprop, in the parameter's and the state's own memory."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ds_core.functional.rmsprop import rmsprop
from ds_core.kernels import update_kernel
from ds_core.kernels.elementary import number


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
    """The root is the only new tensor."""
    state["step"] += 1
    square = state["square_avg"].mul_(number(alpha, g)).addcmul_(g, g, value=1 - alpha)
    if centered:
        mean = state["grad_avg"].lerp_(g, 1 - alpha)
        square = square.addcmul(mean, mean, value=-1).clamp_(min=0)
    root = square.sqrt().add_(number(eps, p))
    if not momentum:
        return p.addcdiv_(g, root, value=-lr), state
    buffer = state["momentum_buffer"].mul_(number(momentum, g)).addcdiv_(g, root)
    return p.add_(buffer, alpha=-lr), state
