"""Low-rank adaptation: what a small product adds to a large weight that stays as it is."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from ds_core.functional.linear import linear, linear_backward


class SavedWeight(NamedTuple):
    """What the backward of the adapted weight needs."""

    a: Tensor  # (r, in)
    b: Tensor  # (out, r)
    scale: float


def lora(x: Tensor, a: Tensor, b: Tensor, scale: float) -> tuple[Tensor, Any]:
    """Maps to r numbers and back: y = s x A^T B^T, which an adapted layer adds to x W^T."""
    z, down = linear(x, a)  # (..., r)
    y, up = linear(z, b)  # (..., out)
    return scale * y, (down, up, scale)


def lora_backward(grad: Tensor, saved: Any) -> tuple[Tensor, Tensor, Tensor]:
    """With z = x A^T:   dL/dB = s g^T z,   dL/dz = s g B,   dL/dA = (dL/dz)^T x,   dL/dx = dL/dz A."""
    down, up, scale = saved
    grad_z, grad_b, _ = linear_backward(scale * grad, up)  # y = s z B^T
    grad_x, grad_a, _ = linear_backward(grad_z, down)  # z = x A^T
    return grad_x, grad_a, grad_b


def lora_weight(weight: Tensor, a: Tensor, b: Tensor, scale: float) -> tuple[Tensor, SavedWeight]:
    """Adds the product to the weight itself: W' = W + s B A."""
    return weight + scale * (b @ a), SavedWeight(a, b, scale)


def lora_weight_backward(grad: Tensor, saved: SavedWeight) -> tuple[Tensor, Tensor, Tensor]:
    """With G = dL/dW':   dL/dW = G,   dL/dA = s B^T G,   dL/dB = s G A^T."""
    a, b, scale = saved
    grad_a = scale * (b.T @ grad)  # W' = W + s B A
    grad_b = scale * (grad @ a.T)  # W' = W + s B A
    return grad, grad_a, grad_b
