"""Lion, in the parameter's and the state's own memory."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ds_core.functional.lion import lion
from ds_core.kernels import update_kernel


@update_kernel(lion)
def lion_in_place(
    p: Tensor, g: Tensor, state: dict[str, Any], *, lr: float, betas: tuple[float, float]
) -> tuple[Tensor, dict[str, Any]]:
    """The sign is the only new tensor."""
    beta1, beta2 = betas
    mean = state["exp_avg"]
    p.add_(mean.lerp(g, 1 - beta1).sign_(), alpha=-lr)
    mean.lerp_(g, 1 - beta2)
    return p, state
