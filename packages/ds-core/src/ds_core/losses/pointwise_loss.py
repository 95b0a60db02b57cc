"""PointwiseLoss: what the losses that compare number with number share."""

from __future__ import annotations

from torch import Tensor

from ds_core.checks import check_floating, shape
from ds_core.losses.loss import Loss


class PointwiseLoss(Loss):
    """Base of the losses l(x, t) of a prediction and a target of the same shape, element by element.

    dL/dx = dl/dx g / N   (N: number of elements for "mean", 1 otherwise)

    A subclass gives two formulas: ``values``, l, and ``slope``, dl/dx. The target is data: it gets no
    gradient.

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        prediction and target: the same, any -> scalar (or that shape for "none").

    Raises:
        ValueError: if the shapes differ: broadcasting here is nearly always a mistake.
        TypeError: if the prediction is not floating point, or the target is of another floating point type.
            Integers and booleans are fine as a target, and taken as numbers.
    """

    def values(self, input: Tensor, target: Tensor) -> Tensor:
        """Returns l, element by element."""
        raise NotImplementedError

    def slope(self, input: Tensor, target: Tensor) -> Tensor:
        """Returns dl/dx, element by element, as a new tensor."""
        raise NotImplementedError

    def count(self, input: Tensor) -> int:
        """Returns what the mean divides by."""
        return input.numel()

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        target = check_target(self, input, target)
        self.save(input, target)
        return self.reduce(self.values(input, target), self.count(input))

    def backward(self, grad: Tensor | float = 1.0) -> Tensor:
        input, target = self.saved()
        return self.slope(input, target).mul_(self.reduce_backward(grad, self.count(input)))


def check_target(loss: Loss, input: Tensor, target: Tensor) -> Tensor:
    """Holds the target to the prediction's shape and returns it in the prediction's type.

    Raises:
        ValueError: if the shapes differ: broadcasting here is nearly always a mistake.
        TypeError: if the prediction is not floating point, or the target is of another floating point type.
    """
    check_floating(loss, input)
    if input.shape != target.shape:
        raise ValueError(
            f"{loss.label()}: expected prediction and target of one shape, "
            f"got {shape(input)} and {shape(target)}"
        )
    if target.is_floating_point() and target.dtype != input.dtype:
        raise TypeError(
            f"{loss.label()}: expected a target of the prediction's type {input.dtype}, "
            f"got {target.dtype}; convert with target.to({input.dtype})"
        )
    return target.to(input.dtype)
