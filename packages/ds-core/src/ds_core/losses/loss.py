"""Loss: what all losses share."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import cache
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


def as_tuple(value: Any) -> tuple[Any, ...]:
    """Returns what a module gave, one thing or a tuple of several, as a tuple."""
    return value if isinstance(value, tuple) else (value,)


def measured(loss: Module, outputs: tuple[Any, ...], target: Any) -> Any:
    """Calls a loss with a model's outputs and a target.

    The target goes where the loss's forward has ``target``, in ``GaussianNLLLoss`` between mean and variance,
    and last where it has no such name.
    """
    place = _place_of_target(loss, outputs)
    return loss(*outputs[:place], target, *outputs[place:])


def output_grads(loss: Module, outputs: tuple[Any, ...], grads: Any) -> tuple[Any, ...]:
    """Picks the outputs' gradients from what a loss's backward returned, which may hold the target's."""
    grads = as_tuple(grads)
    if len(grads) > len(outputs):
        place = _place_of_target(loss, outputs)
        grads = grads[:place] + grads[place + 1 :]
    return grads[: len(outputs)]


def _place_of_target(loss: Module, outputs: tuple[Any, ...]) -> int:
    return min(_among_arguments(type(loss).forward), len(outputs))


@cache
def _among_arguments(forward: Callable[..., Any]) -> int:
    """Says at which place the forward of a loss takes its target; beyond all, where none has that name."""
    names = list(inspect.signature(forward).parameters)[1:]
    return names.index("target") if "target" in names else sys.maxsize
