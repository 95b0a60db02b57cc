"""SGD: one step of stochastic gradient descent, with momentum."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def sgd(
    p: Tensor,
    g: Tensor,
    state: dict[str, Any],
    *,
    lr: float,
    momentum: float,
    dampening: float,
    nesterov: bool,
) -> tuple[Tensor, dict[str, Any]]:
    """b = momentum b + (1 - dampening) g,   p = p - lr b;   with Nesterov p = p - lr (g + momentum b).

    At the first step b = g; without momentum p = p - lr g.
    """
    if momentum == 0:
        return p - lr * g, state
    b = momentum * state["momentum_buffer"] + (1 - dampening) * g if "momentum_buffer" in state else g + 0
    step = g + momentum * b if nesterov else b
    return p - lr * step, {"momentum_buffer": b}
