"""SGD, in the parameter's and the state's own memory."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ds_core.functional.sgd import sgd
from ds_core.kernels import update_kernel
from ds_core.kernels.elementary import number


@update_kernel(sgd)
def sgd_in_place(
    p: Tensor,
    g: Tensor,
    state: dict[str, Any],
    *,
    lr: float,
    momentum: float,
    dampening: float,
    nesterov: bool,
) -> tuple[Tensor, dict[str, Any]]:
    """Two passes at most."""
    if momentum:
        buffer = state.get("momentum_buffer")
        if buffer is None:
            buffer = state["momentum_buffer"] = g.clone()
        else:
            buffer.mul_(number(momentum, g)).add_(g, alpha=1 - dampening)
        g = g.add(buffer, alpha=momentum) if nesterov else buffer
    return p.add_(g, alpha=-lr), state
