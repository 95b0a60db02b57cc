"""ELU and CELU on a processor: sums in place of choices."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.elu import celu, elu
from ds_core.kernels import kernel
from ds_core.kernels.elementary import blocks, exp


@kernel(elu)
class ELUKernel:
    """y = c (max(x, 0) + a (exp(min(x, 0)) - 1)), one of whose terms is always 0."""

    @staticmethod
    def forward(
        x: Tensor, alpha: float = 1.0, scale: float = 1.0
    ) -> tuple[Tensor, tuple[Tensor, float, float]]:
        y = torch.empty_like(x)
        for x_, out in blocks(x, y):
            torch.clamp(x_, max=0, out=out).expm1_().mul_(alpha).add_(x_.clamp(min=0)).mul_(scale)
        return y, (x, alpha, scale)

    @staticmethod
    def backward(grad: Tensor, saved: tuple[Tensor, float, float]) -> Tensor:
        x, alpha, scale = saved
        grad_x = torch.empty_like(grad)
        for x_, g, out in blocks(x, grad, grad_x):
            exp(torch.clamp(x_, max=0, out=out), out=out).mul_(alpha)  # a above 0
            if alpha != 1:
                out.add_(torch.gt(x_, 0, out=torch.empty_like(x_)), alpha=1 - alpha)
            out.mul_(scale).mul_(g)
        return grad_x


@kernel(celu)
class CELUKernel:
    """y = max(x, 0) + a (exp(min(x, 0) / a) - 1), one of whose terms is always 0."""

    @staticmethod
    def forward(x: Tensor, alpha: float = 1.0) -> tuple[Tensor, tuple[Tensor, float]]:
        y = torch.empty_like(x)
        for x_, out in blocks(x, y):
            torch.clamp(x_, max=0, out=out).div_(alpha).expm1_().mul_(alpha).add_(x_.clamp(min=0))
        return y, (x, alpha)

    @staticmethod
    def backward(grad: Tensor, saved: tuple[Tensor, float]) -> Tensor:
        x, alpha = saved
        grad_x = torch.empty_like(grad)
        for x_, g, out in blocks(x, grad, grad_x):
            exp(torch.clamp(x_, max=0, out=out), 1 / alpha, out=out).mul_(g)
        return grad_x
