"""Unit length: a vector's direction alone."""

from __future__ import annotations

from torch import Tensor


def unit_length(x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Divides each vector ``(..., D)`` by its length: y = x / n,   n = sqrt(x.x)."""
    n = (x * x).sum(-1, keepdim=True).sqrt()
    y = x / n
    return y, (y, n)


def unit_length_backward(grad: Tensor, saved: tuple[Tensor, Tensor]) -> Tensor:
    """dL/dx = (g - y (y.g)) / n: what points along y changes the length alone, which is gone."""
    y, n = saved
    return (grad - y * (y * grad).sum(-1, keepdim=True)) / n  # y = x / n, n = sqrt(x.x)
