"""Loss: what all losses share, above all the reduction of many values to one."""

from __future__ import annotations

from typing import Any, Literal

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

    def __init__(self, reduction: Reduction = "mean") -> None:
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(
                f"{type(self).__name__}: expected reduction 'mean', 'sum' or 'none', got {reduction!r}"
            )
        self.reduction = reduction

    def reduce(self, values: Tensor) -> Tensor:
        """Returns the mean, the sum, or the values themselves."""
        if self.reduction == "mean":
            return values.mean()
        return values.sum() if self.reduction == "sum" else values

    def reduce_backward(self, grad: Tensor | float, count: int) -> Tensor | float:
        """Returns the gradient of each of ``count`` values: g / count, or g."""
        return grad / count if self.reduction == "mean" else grad

    def backward(self, grad: Tensor | float = 1.0) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def extra_repr(self) -> str:
        return "" if self.reduction == "mean" else f"reduction={self.reduction!r}"
