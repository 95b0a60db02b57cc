"""MarginLoss: what the losses that compare several inputs share."""

from __future__ import annotations

from torch import Tensor

from ds_core.checks import check_floating, shape
from ds_core.losses.loss import Loss, Reduction


class MarginLoss(Loss):
    """Base of the losses that are 0 once inputs differ by a margin; each input has a gradient.

    Args:
        margin: the difference from which on there is nothing left to learn.
        reduction: "mean", "sum" or "none".
    """

    def __init__(self, margin: float, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def check_alike(self, *inputs: Tensor) -> None:
        """Checks that the inputs are of one shape and one floating point type.

        Raises:
            ValueError: if their shapes differ.
            TypeError: if one is not floating point, or they are of several types.
        """
        check_floating(self, inputs[0])
        if any(x.shape != inputs[0].shape for x in inputs):
            shapes = ", ".join(shape(x) for x in inputs)
            raise ValueError(f"{self.label()}: expected inputs of one shape, got {shapes}")
        if any(x.dtype != inputs[0].dtype for x in inputs):
            types = ", ".join(str(x.dtype) for x in inputs)
            raise TypeError(f"{self.label()}: expected inputs of one type, got {types}")

    def extra_repr(self) -> str:
        return ", ".join(part for part in (f"margin={self.margin}", super().extra_repr()) if part)
