"""MSELoss: the mean of squared errors."""

from __future__ import annotations

from torch import Tensor

from ds_core.checks import check_floating, shape
from ds_core.losses.loss import Loss


class MSELoss(Loss):
    """Squares the difference between prediction and target.

    l = (x - t)^2,   dL/dx = 2 (x - t) g / N   (N: number of elements for "mean", 1 otherwise)

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        prediction and target: the same, any -> scalar (or that shape for "none").

    Raises:
        ValueError: if the shapes differ: broadcasting here is nearly always a mistake.
        TypeError: if the prediction is not floating point.
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        check_floating(self, input)
        if input.shape != target.shape:
            raise ValueError(
                f"{self.label()}: expected prediction and target of one shape, "
                f"got {shape(input)} and {shape(target)}"
            )
        difference = input - target
        self.save(difference)
        return self.reduce(difference * difference)

    def backward(self, grad: Tensor | float = 1.0) -> Tensor:
        (difference,) = self.saved()
        return difference * (2 * self.reduce_backward(grad, difference.numel()))
