"""Mean squared error on a processor: the gradient in the memory of the error."""

from __future__ import annotations

from torch import Tensor

from ds_core.functional.mse import mse
from ds_core.functional.reduction import reduce
from ds_core.kernels import kernel


@kernel(mse)
class MSEKernel:
    """The error d is kept, and becomes 2 d g."""

    @staticmethod
    def forward(x: Tensor, target: Tensor, reduction: str = "mean") -> tuple[Tensor, tuple[Tensor, float]]:
        d = x - target
        loss, share = reduce(d * d, reduction)
        return loss, (d, share)

    @staticmethod
    def backward(grad: Tensor | float, saved: tuple[Tensor, float]) -> Tensor:
        d, share = saved
        return d.mul_(grad * share * 2)
