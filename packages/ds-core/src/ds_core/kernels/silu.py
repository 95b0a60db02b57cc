"""SiLU on a processor: the slope comes with the value, in blocks."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.silu import silu
from ds_core.kernels import kernel
from ds_core.kernels.elementary import blocks, sigmoid


@kernel(silu)
class SiLUKernel:
    """Keeps y' = s + y (1 - s), which takes no more memory than x and shares the exponential with y."""

    @staticmethod
    def forward(x: Tensor, *, keep: bool = True) -> tuple[Tensor, Tensor | None]:
        if not keep:
            return sigmoid(x).mul_(x), None
        y, slope = torch.empty_like(x), torch.empty_like(x)
        for x_, y_, slope_ in blocks(x, y, slope):
            s = sigmoid(x_)
            torch.mul(x_, s, out=y_)
            torch.addcmul(y_, y_, s, value=-1, out=slope_).add_(s)
        return y, slope

    @staticmethod
    def backward(grad: Tensor, saved: Tensor) -> Tensor:
        return saved.mul_(grad)
