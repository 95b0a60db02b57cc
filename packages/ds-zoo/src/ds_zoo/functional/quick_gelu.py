"""QuickGELU: each number times a steep sigmoid of itself."""

from __future__ import annotations

from ds_core.functional.sigmoid import sigmoid
from torch import Tensor

STEEP = 1.702


def quick_gelu(x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Weights each number by a sigmoid close to the normal distribution: y = x s,   s = sigmoid(1.702 x)."""
    s, _ = sigmoid(STEEP * x)
    return x * s, (x, s)


def quick_gelu_backward(grad: Tensor, saved: tuple[Tensor, Tensor]) -> Tensor:
    """dL/dx = g (s + x s'),   s' = 1.702 s (1 - s)."""
    x, s = saved
    return grad * (s + x * STEEP * s * (1 - s))  # y = x s, s = sigmoid(1.702 x)
