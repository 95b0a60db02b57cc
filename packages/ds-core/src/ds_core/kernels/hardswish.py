"""Hardswish on a processor: comparisons of bits in place of choices."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.hardswish import hardswish
from ds_core.kernels import kernel
from ds_core.kernels.elementary import bits, blocks


@kernel(hardswish)
class HardswishKernel:
    """y = x h; the slope is h + x / 6 between the bounds."""

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.empty_like(x)
        for x_, out in blocks(x, y):
            _gate(x_, out).mul_(x_)
        return y, x

    @staticmethod
    def backward(grad: Tensor, saved: Tensor) -> Tensor:
        grad_x = torch.empty_like(grad)
        for x, g, out in blocks(saved, grad, grad_x):
            h = _gate(x, torch.empty_like(out))
            torch.sub(h, 1, out=out).mul_(h)  # negative between the bounds
            torch.lt(out, 0, out=out).div_(6).mul_(x.clamp(-3, 3)).add_(h).mul_(g)
            bits(out).mul_(torch.gt(bits(h), 0, out=bits(h)))  # 0 below, also of an infinite gradient
        return grad_x


def _gate(x: Tensor, out: Tensor) -> Tensor:
    """Returns h."""
    return torch.add(x, 3, out=out).clamp_(0, 6).div_(6)
