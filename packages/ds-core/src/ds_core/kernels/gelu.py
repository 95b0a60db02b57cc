"""GELU on a processor: the slope comes with the value, in blocks."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ds_core.functional.gelu import GELUForm, gelu
from ds_core.kernels import kernel
from ds_core.kernels.elementary import LOG2_E, blocks, sigmoid

_SCALE, _CUBE = 2 * math.sqrt(2 / math.pi), 0.044715


@kernel(gelu)
class GELUKernel:
    """Keeps y', which takes no more memory than x and shares the gate with y.

    For "tanh" the gate (1 + tanh u) / 2 is the sigmoid of 2u, and y' = p + y (1 - p) 2u'.
    """

    @staticmethod
    def forward(
        x: Tensor, approximate: GELUForm = "none", *, keep: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        if not keep:
            gate = _gate(x, approximate)
            return gate.mul_(x), None
        y, slope = torch.empty_like(x), torch.empty_like(x)
        for x_, y_, slope_ in blocks(x, y, slope):
            gate = _gate(x_, approximate, out=y_)
            if approximate == "none":
                density = _polynomial(x_, -math.log2(2 * math.pi) / 2, -LOG2_E / 2, out=slope_).exp2_()
                torch.addcmul(gate, density, x_, out=density)
            else:
                growth = _polynomial(x_, _SCALE, 3 * _SCALE * _CUBE, out=slope_).mul_(x_).mul_(gate)  # y 2u'
                growth.addcmul_(growth, gate, value=-1).add_(gate)
            gate.mul_(x_)  # y, where the gate was
        return y, slope

    @staticmethod
    def backward(grad: Tensor, saved: Tensor) -> Tensor:
        return saved.mul_(grad)


def _gate(x: Tensor, approximate: GELUForm, *, out: Tensor | None = None) -> Tensor:
    """Returns p."""
    if approximate == "none":
        erf = torch.mul(x, math.sqrt(0.5), out=out).erf_()
        return torch.add(_number(0.5, x), erf, alpha=0.5, out=erf)
    u = _polynomial(x, _SCALE, _SCALE * _CUBE, out=out).mul_(x)
    return sigmoid(u, out=u)


def _polynomial(x: Tensor, constant: float, square: float, *, out: Tensor | None = None) -> Tensor:
    """Returns constant + square x^2 in one pass."""
    return torch.addcmul(_number(constant, x), x, x, value=square, out=out)


def _number(value: float, like: Tensor) -> Tensor:
    """Returns a number as a tensor, for operations that take no plain number in that place."""
    return torch.full((), value, dtype=like.dtype, device=like.device)
