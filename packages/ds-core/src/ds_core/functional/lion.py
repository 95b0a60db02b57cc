"""Lion: one step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def lion(
    p: Tensor, g: Tensor, state: dict[str, Any], *, lr: float, betas: tuple[float, float]
) -> tuple[Tensor, dict[str, Any]]:
    """p = p - lr sign(beta1 m + (1 - beta1) g),   m = beta2 m + (1 - beta2) g."""
    (beta1, beta2), m = betas, state["exp_avg"]
    step = torch.sign(beta1 * m + (1 - beta1) * g)
    return p - lr * step, {"exp_avg": beta2 * m + (1 - beta2) * g}
