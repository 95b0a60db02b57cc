"""Adadelta, in the parameter's and the state's own memory."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ds_core.functional.adadelta import adadelta
from ds_core.kernels import update_kernel
from ds_core.kernels.elementary import blocks, number


@update_kernel(adadelta)
def adadelta_in_place(
    p: Tensor, g: Tensor, state: dict[str, Any], *, lr: float, rho: float, eps: float
) -> tuple[Tensor, dict[str, Any]]:
    """Nothing new but the step of a block, and one root."""
    state["step"] += 1
    square = state["square_avg"].mul_(number(rho, g)).addcmul_(g, g, value=1 - rho)
    for some, by, v, steps in blocks(p, g, square, state["acc_delta"]):
        d = steps.add(number(eps, v)).sqrt_().div_(v.add(number(eps, v)).sqrt_()).mul_(by)
        steps.mul_(number(rho, v)).addcmul_(d, d, value=1 - rho)
        some.add_(d, alpha=-lr)
    return p, state
