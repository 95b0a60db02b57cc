"""LeakyReLU and PReLU on a processor: sums and products in place of choices."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.leaky_relu import leaky_relu, prelu
from ds_core.kernels import kernel
from ds_core.kernels.elementary import bits, blocks, number
from ds_core.kernels.remade import follow


@kernel(leaky_relu)
class LeakyReLUKernel:
    """y = max(x, s x), where s is at most 1 and not 0, which would make NaN of infinity.

    If s is above 0, too, y is above 0 where x is, and is kept in its place: the next layer keeps it anyway.
    """

    @staticmethod
    def forward(x: Tensor, negative_slope: float = 0.01) -> tuple[Tensor, tuple[Tensor, float]]:
        if negative_slope > 1 or not negative_slope:
            return _forward(x, negative_slope), (x, negative_slope)
        y = _steeper(x, negative_slope)
        follow(y, x, lambda x: _steeper(x, negative_slope))
        return y, (y if negative_slope > 0 else x, negative_slope)

    @staticmethod
    def backward(grad: Tensor, saved: tuple[Tensor, float]) -> Tensor:
        x, negative_slope = saved
        slope = number(negative_slope, x)
        below = slope if isinstance(slope, Tensor) else x.new_full((), slope)
        grad_x = torch.empty_like(grad)
        for x_, g, out in blocks(x, grad, grad_x):
            torch.add(below, torch.gt(x_, 0, out=out), alpha=1 - negative_slope, out=out).mul_(g)
        return grad_x

    @staticmethod
    def second_backward(grad_grad: Tensor, grad: Tensor, saved: tuple[Tensor, float]) -> Tensor:
        return LeakyReLUKernel.backward(grad_grad, saved)


@kernel(prelu)
class PReLUKernel:
    """The same, with a slope for each channel."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        return _forward(x, weight), (x, weight)

    @staticmethod
    def backward(
        grad: Tensor, saved: tuple[Tensor, Tensor], *, wanted: tuple[bool, ...] | None = None
    ) -> tuple[Tensor | None, Tensor | None]:
        x, weight = saved
        want_x, want_weight = wanted or (True, True)
        grad_x, grad_weight = torch.empty_like(grad), None
        if want_weight:
            product = grad * x
            bits(product).mul_(torch.le(bits(x), 0, out=bits(grad_x)))
            grad_weight = product.sum_to_size(weight.shape)
        if not want_x:
            return None, grad_weight
        return torch.gt(x, 0, out=grad_x).mul_(1 - weight).add_(weight).mul_(grad), grad_weight


def _steeper(x: Tensor, slope: float) -> Tensor:
    """Returns max(x, s x)."""
    y = x * number(slope, x)
    return torch.maximum(x, y, out=y)


def _forward(x: Tensor, slope: float | Tensor) -> Tensor:
    return x.clamp(max=0).mul_(slope).add_(x.clamp(min=0))
