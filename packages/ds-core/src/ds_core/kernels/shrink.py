"""Softshrink and Hardshrink on a processor: comparisons as numbers in place of choices."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.shrink import Saved, hardshrink, softshrink
from ds_core.kernels import kernel
from ds_core.kernels.elementary import blocks, zero_where


@kernel(softshrink)
class SoftshrinkKernel:
    """y = x - min(max(x, -c), c)."""

    @staticmethod
    def forward(x: Tensor, lambd: float = 0.5) -> tuple[Tensor, Saved]:
        y = torch.empty_like(x)
        for x_, out in blocks(x, y):
            torch.sub(x_, torch.clamp(x_, -lambd, lambd), out=out)
        return y, (x, lambd)

    @staticmethod
    def backward(grad: Tensor, saved: Saved) -> Tensor:
        return _large(grad, *saved)


@kernel(hardshrink)
class HardshrinkKernel:
    """Forward and backward do the same, with the numbers and with their gradients."""

    @staticmethod
    def forward(x: Tensor, lambd: float = 0.5) -> tuple[Tensor, Saved]:
        return _large(x, x, lambd), (x, lambd)

    @staticmethod
    def backward(grad: Tensor, saved: Saved) -> Tensor:
        return _large(grad, *saved)


def _large(values: Tensor, x: Tensor, lambd: float) -> Tensor:
    """Returns the values, and 0 where |x| <= c."""
    kept = torch.empty_like(values)
    for value, x_, out in blocks(values, x, kept):
        zero_where(value, torch.abs(x_, out=out).le_(lambd), out=out)
    return kept
