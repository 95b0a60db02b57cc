"""Loss: what all losses share, above all the reduction of many values to one."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

from torch import Tensor

from ds_core.module import Module

Reduction = Literal["mean", "sum", "none"]


class Loss(Module):
    """Base of the losses: many values, reduced by their mean, their sum, or not at all.

    The gradient that enters ``backward`` is that of the reduced value; it is 1 unless the loss is itself
    part of something larger, so ``loss.backward()`` without an argument starts the whole backward pass.

    Args:
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: if the reduction is another word.
    """

    reductions: ClassVar[tuple[str, ...]] = ("mean", "sum", "none")

    def __init__(self, reduction: str = "mean") -> None:
        if reduction not in self.reductions:
            expected = ", ".join(map(repr, self.reductions))
            raise ValueError(f"{type(self).__name__}: expected a reduction of {expected}, got {reduction!r}")
        self.reduction = reduction

    def reduce(self, values: Tensor, count: float) -> Tensor:
        """Returns the sum divided by ``count``, the sum, or the values themselves.

        The mean of nothing is NaN, but no value asks for a gradient, so that is 0 and spoils no weights.
        """
        if self.reduction == "none":
            return values
        total = values.sum()
        if self.reduction == "sum":
            return total
        return total / count if count else total * 0 + math.nan

    def reduce_backward(self, grad: Tensor | float, count: float) -> Tensor | float:
        """Returns the gradient of each value: g / count, or g."""
        if self.reduction in ("sum", "none"):
            return grad
        return grad / count if count else 0.0

    def backward(self, grad: Tensor | float = 1.0) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def extra_repr(self) -> str:
        return "" if self.reduction == "mean" else f"reduction={self.reduction!r}"
