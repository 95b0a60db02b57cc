"""SiLU: each number times its own sigmoid."""

from __future__ import annotations

from torch import Tensor

from ds_core.functional.sigmoid import sigmoid


def silu(x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Weights each number by its sigmoid: y = x s,   s = 1 / (1 + exp(-x))."""
    s, _ = sigmoid(x)
    return x * s, (x, s)


def silu_backward(grad: Tensor, saved: tuple[Tensor, Tensor]) -> Tensor:
    """dL/dx = g (s + x s'),   s' = s (1 - s)."""
    x, s = saved
    return grad * (s + x * s * (1 - s))  # y = x s, s = sigmoid(x)
