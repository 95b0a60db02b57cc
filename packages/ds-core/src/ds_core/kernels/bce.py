"""Binary cross-entropy on a processor: clamped logarithms in place of choices."""

from __future__ import annotations

from torch import Tensor

from ds_core.functional.bce import Saved, bce
from ds_core.functional.reduction import reduce
from ds_core.kernels import kernel


@kernel(bce)
class BCEKernel:
    """Autograd does not record here, so the logarithm of 0 may be infinite before it is cut off."""

    @staticmethod
    def forward(
        x: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
    ) -> tuple[Tensor, Saved]:
        values = (1 - x).log_().clamp_(min=-100).mul_(target - 1)
        values.addcmul_(x.log().clamp_(min=-100), target, value=-1)
        loss, share = reduce(values if weight is None else values * weight, reduction)
        return loss, Saved(x, target, 1.0 if weight is None else weight, share)

    @staticmethod
    def backward(grad: Tensor | float, saved: Saved) -> Tensor:
        x, target, weight, share = saved
        slope = (x - target).div_((1 - x).mul_(x).clamp_(min=1e-12))
        return slope.mul_(weight * (grad * share))
