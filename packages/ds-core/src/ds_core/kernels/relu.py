"""ReLU and ReLU6 on a processor: 0 or 1 from the bits of y, times the bits of the gradient.

As whole numbers the bits of a positive float are positive, and an infinite gradient times 0 is 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.relu import relu, relu6
from ds_core.kernels import kernel
from ds_core.kernels.elementary import bits, blocks
from ds_core.kernels.remade import follow


@kernel(relu)
class ReLUKernel:
    """Clamps; where y > 0, the backward keeps the bits of the gradient."""

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        y = x.clamp(min=0)
        follow(y, x, lambda x: x.clamp_(min=0))
        return y, y

    @staticmethod
    def backward(grad: Tensor, saved: Tensor) -> Tensor:
        grad_x = torch.empty_like(grad)
        for y, g, out in blocks(saved, grad, grad_x):
            torch.clamp(bits(y), 0, 1, out=bits(out)).mul_(bits(g))
        return grad_x


@kernel(relu6)
class ReLU6Kernel:
    """The same with y (6 - y), which is positive between the bounds."""

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        y = x.clamp(0, 6)
        return y, y

    @staticmethod
    def backward(grad: Tensor, saved: Tensor) -> Tensor:
        grad_x = torch.empty_like(grad)
        for y, g, out in blocks(saved, grad, grad_x):
            inside = bits(torch.sub(y, 6, out=out).mul_(y).neg_())
            torch.clamp(inside, 0, 1, out=inside).mul_(bits(g))
        return grad_x
