"""Activation functions, element by element: each forward with its backward below it."""

from __future__ import annotations

from torch import Tensor


def relu(x: Tensor) -> Tensor:
    """Returns max(x, 0), any shape."""
    return x.clamp(min=0)


def relu_backward(grad: Tensor, y: Tensor) -> Tensor:
    """Returns g where the output y is positive, else 0."""
    return grad * (y > 0)
