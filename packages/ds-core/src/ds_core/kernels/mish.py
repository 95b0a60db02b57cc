"""Mish on a processor: a quotient for the hyperbolic tangent, and the slope with the value, in blocks."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.mish import mish
from ds_core.kernels import kernel
from ds_core.kernels.elementary import blocks, exp

TOP = 20  # from here on the gate n / (n + 2) is 1 in every type, so e need not grow further


@kernel(mish)
class MishKernel:
    """Keeps y', which takes no more memory than x and shares the exponential with y.

    With e = exp(x):  t = tanh(log(1 + e)) = n / (n + 2),   n = e (e + 2),   t' = 4 e (e + 1) / (n + 2)^2
    """

    @staticmethod
    def forward(x: Tensor, *, keep: bool = True) -> tuple[Tensor, Tensor | None]:
        if not keep:
            n = exp(x.clamp(max=TOP))
            n.mul_(n + 2)
            return n.div_(n + 2).mul_(x), None
        y, slope = torch.empty_like(x), torch.empty_like(x)
        for x_, y_, slope_ in blocks(x, y, slope):
            bounded = x_.clamp(max=TOP)
            e = exp(bounded)
            n = torch.add(e, 2, out=slope_).mul_(e)
            below = (n + 2).reciprocal_()
            gate = n.mul_(below)
            torch.mul(x_, gate, out=y_)
            growth = torch.addcmul(e, e, e, out=e).mul_(below).mul_(below)  # e (e + 1) / (n + 2)^2
            torch.addcmul(gate, growth, bounded, value=4, out=slope_)
        return y, slope

    @staticmethod
    def backward(grad: Tensor, saved: Tensor) -> Tensor:
        return saved.mul_(grad)
