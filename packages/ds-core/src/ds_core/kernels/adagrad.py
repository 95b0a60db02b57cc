"""Adagrad, in the parameter's and the state's own memory."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ds_core.functional.adagrad import adagrad
from ds_core.kernels import update_kernel
from ds_core.kernels.elementary import number


@update_kernel(adagrad)
def adagrad_in_place(
    p: Tensor, g: Tensor, state: dict[str, Any], *, lr: float, lr_decay: float, eps: float
) -> tuple[Tensor, dict[str, Any]]:
    """The root is the only new tensor."""
    step_size = lr / (1 + state["step"] * lr_decay)
    state["step"] += 1
    root = state["sum"].addcmul_(g, g).sqrt().add_(number(eps, p))
    return p.addcdiv_(g, root, value=-step_size), state
