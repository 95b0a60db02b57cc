"""Hardtanh on a processor: comparisons as numbers in place of choices."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.hardtanh import hardtanh
from ds_core.kernels import kernel
from ds_core.kernels.elementary import blocks, zero_where


@kernel(hardtanh)
class HardtanhKernel:
    """Clamps; the backward sets the gradient to 0 where x is at a bound or beyond."""

    @staticmethod
    def forward(
        x: Tensor, min_val: float = -1.0, max_val: float = 1.0
    ) -> tuple[Tensor, tuple[Tensor, float, float]]:
        return x.clamp(min_val, max_val), (x, min_val, max_val)

    @staticmethod
    def backward(grad: Tensor, saved: tuple[Tensor, float, float]) -> Tensor:
        x, min_val, max_val = saved
        grad_x = torch.empty_like(grad)
        for x_, g, out in blocks(x, grad, grad_x):
            beyond = torch.le(x_, min_val, out=out).add_(torch.ge(x_, max_val, out=torch.empty_like(x_)))
            zero_where(g, beyond, out=out)
        return grad_x
