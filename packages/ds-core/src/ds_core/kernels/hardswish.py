"""Hardswish on a processor: signs in place of choices."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.hardswish import hardswish
from ds_core.kernels import kernel
from ds_core.kernels.elementary import blocks


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
            h = _gate(x, out)
            inside = (1 - h).mul_(h).sign_()  # 1 between the bounds, else 0
            h.addcmul_(inside, x.clamp(-3, 3), value=1 / 6).mul_(g)
        return grad_x


def _gate(x: Tensor, out: Tensor) -> Tensor:
    """Writes h into ``out``."""
    return torch.add(x, 3, out=out).clamp_(0, 6).mul_(1 / 6)
