"""Mean absolute error on a processor: the gradient in the memory of the error."""

from __future__ import annotations

from torch import Tensor

from ds_core.functional.l1 import l1
from ds_core.functional.reduction import reduce
from ds_core.kernels import kernel


@kernel(l1)
class L1Kernel:
    """The error d is kept, and becomes sign(d) g."""

    @staticmethod
    def forward(x: Tensor, target: Tensor, reduction: str = "mean") -> tuple[Tensor, tuple[Tensor, float]]:
        d = x - target
        loss, share = reduce(d.abs(), reduction)
        return loss, (d, share)

    @staticmethod
    def backward(grad: Tensor | float, saved: tuple[Tensor, float]) -> Tensor:
        d, share = saved
        return d.sign_().mul_(grad * share)
