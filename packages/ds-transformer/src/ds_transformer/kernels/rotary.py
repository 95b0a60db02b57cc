"""Rotation of pairs straight into the memory of the result."""

from __future__ import annotations

import torch
from ds_core.kernels import kernel
from torch import Tensor

from ds_transformer.functional.rotary import Saved, pairs, rotate


@kernel(rotate)
class RotateKernel:
    """Writes both numbers of all pairs where they belong."""

    @staticmethod
    def forward(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool = False) -> tuple[Tensor, Saved]:
        return _turn(x, cos, sin, 1.0, interleaved), (cos, sin, interleaved)

    @staticmethod
    def backward(grad: Tensor, saved: Saved) -> Tensor:
        cos, sin, interleaved = saved
        return _turn(grad, cos, sin, -1.0, interleaved)


def _turn(x: Tensor, cos: Tensor, sin: Tensor, direction: float, interleaved: bool) -> Tensor:
    """Turns pairs forwards (direction 1) or backwards (-1)."""
    y = x.new_empty(x.shape)
    (a, b), (y_a, y_b) = pairs(x, interleaved), pairs(y, interleaved)  # (..., T, D/2) each
    torch.addcmul(torch.mul(a, cos, out=y_a), b, sin, value=-direction, out=y_a)
    torch.addcmul(torch.mul(b, cos, out=y_b), a, sin, value=direction, out=y_b)
    return y
