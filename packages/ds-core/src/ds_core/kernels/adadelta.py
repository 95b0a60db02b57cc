"""Adadelta, in the parameter's and the state's own memory."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ds_core.functional.adadelta import adadelta
from ds_core.kernels import update_kernel
from ds_core.kernels.elementary import number


@update_kernel(adadelta)
def adadelta_in_place(
    p: Tensor, g: Tensor, state: dict[str, Any], *, lr: float, rho: float, eps: float
) -> tuple[Tensor, dict[str, Any]]:
    """The step and one root are the only new tensors."""
    state["step"] += 1
    root = state["square_avg"].mul_(number(rho, g)).addcmul_(g, g, value=1 - rho).add(number(eps, p)).sqrt_()
    d = state["acc_delta"].add(number(eps, p)).sqrt_().div_(root).mul_(g)
    state["acc_delta"].mul_(number(rho, g)).addcmul_(d, d, value=1 - rho)
    return p.add_(d, alpha=-lr), state
