"""Adagrad, in the parameter's and the state's own memory."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ds_core.functional.adagrad import adagrad
from ds_core.kernels import update_kernel
from ds_core.kernels.elementary import blocks, number, root


@update_kernel(adagrad)
def adagrad_in_place(
    p: Tensor, g: Tensor, state: dict[str, Any], *, lr: float, lr_decay: float, eps: float
) -> tuple[Tensor, dict[str, Any]]:
    """Nothing new but the root of a block."""
    step_size = lr / (1 + state["step"] * lr_decay)
    state["step"] += 1
    for some, by, total in blocks(p, g, state["sum"].addcmul_(g, g)):
        some.addcdiv_(by, root(total).add_(number(eps, total)), value=-step_size)
    return p, state
