"""Loss: what all losses share."""

from __future__ import annotations

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

    def backward(self, grad: Tensor | float = 1.0) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def extra_repr(self) -> str:
        return "" if self.reduction == "mean" else f"reduction={self.reduction!r}"
