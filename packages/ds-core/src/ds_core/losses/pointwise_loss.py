"""PointwiseLoss: what the losses that compare number with number share."""

from __future__ import annotations

from torch import Tensor

from ds_core.checks import check_floating, shape
from ds_core.losses.loss import Loss


class PointwiseLoss(Loss):
    """Base of the losses l(x, t) of a prediction and a target of the same shape, element by element.

    The target is data: it gets no gradient.

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        prediction and target: the same, any -> scalar (or that shape for "none").
    """

    def checked(self, input: Tensor, target: Tensor) -> Tensor:
        """Checks the prediction and the target, and returns the target in the prediction's type.

        Raises:
            ValueError: if the shapes differ: broadcasting here is nearly always a mistake.
            TypeError: if the prediction is not floating point, or the target is of another floating point
                type. Integers and booleans are fine as a target, and taken as numbers.
        """
        check_floating(self, input)
        if input.shape != target.shape:
            raise ValueError(
                f"{self.label()}: expected prediction and target of one shape, "
                f"got {shape(input)} and {shape(target)}"
            )
        if target.is_floating_point() and target.dtype != input.dtype:
            raise TypeError(
                f"{self.label()}: expected a target of the prediction's type {input.dtype}, "
                f"got {target.dtype}; convert with target.to({input.dtype})"
            )
        return target.to(input.dtype)

    def count(self, target: Tensor) -> int:
        """Returns what the mean divides by: the number of values, or of examples for "batchmean"."""
        return target.shape[0] if self.reduction == "batchmean" and target.dim() else target.numel()
