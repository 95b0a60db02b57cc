"""ClassLoss: what the losses over classes share."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.checks import check_floating, check_numbers, reads_at_once, shape
from ds_core.losses.loss import Loss, Reduction


class ClassLoss(Loss):
    """Base of the losses that compare scores over classes with the index of the right one.

    A position whose target is ``ignore_index`` counts for nothing, any other for the weight of its class.

    Args:
        weight: weight of each class, ``(C,)``; None for 1.
        ignore_index: the target that means "no target".
        reduction: "mean" (each position counted by its weight), "sum" or "none".
        dim: where the classes are: 1, as in torch.nn, for ``(N, C, ...)``, or -1 for ``(..., C)``.
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        *,
        dim: int = 1,
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.dim = dim

    def class_dim(self, scores: Tensor) -> int:
        """Returns the dimension of the classes; scores ``(C,)`` have no other.

        Raises:
            TypeError: if the scores are not floating point.
            ValueError: if there is no such dimension, or the weights are not one per class.
        """
        check_floating(self, scores)
        dims = scores.dim()
        if dims == 0 or (dims > 1 and not -dims <= self.dim < dims):
            raise ValueError(
                f"{self.label()}: expected scores with the classes in dimension {self.dim}, "
                f"got shape {shape(scores)}"
            )
        dim = 0 if dims == 1 else self.dim % dims
        if self.weight is not None and self.weight.shape != (scores.shape[dim],):
            raise ValueError(
                f"{self.label()}: expected a weight for each of the {scores.shape[dim]} classes, "
                f"got weights of shape {shape(self.weight)}"
            )
        return dim

    def checked_index(self, scores: Tensor, target: Tensor, dim: int) -> Tensor:
        """Checks class indices against the scores, and returns them as int64.

        Whether each is a class is looked up with the other checks of a step, and not while
        ``torch.compile`` traces, which cannot look.

        Raises:
            TypeError: if the target does not hold integers.
            ValueError: if its shape is not that of the scores without the class dimension.
            IndexError: if an index is neither a class nor ``ignore_index``.
        """
        if target.is_floating_point() or target.dtype == torch.bool:
            raise TypeError(
                f"{self.label()}: expected class indices of an integer type, got {target.dtype} of shape "
                f"{shape(target)}; convert with target.long()"
            )
        expected, classes = scores.shape[:dim] + scores.shape[dim + 1 :], scores.shape[dim]
        if target.shape != expected:
            raise ValueError(
                f"{self.label()}: expected class indices of shape {tuple(expected)} for scores of shape "
                f"{shape(scores)} with the classes in dimension {dim}, got {shape(target)}"
            )
        index = target.to(torch.int64)
        if not torch.compiler.is_compiling():
            if reads_at_once() and index.numel():  # the extremes are found sooner than what is outside
                low, high = index.aminmax()
                if int(low) >= 0 and int(high) < classes:
                    return index
            inside = torch.where(index == self.ignore_index, index, index.clamp(0, classes - 1))

            def error() -> IndexError:
                return IndexError(
                    f"{self.label()}: expected class indices from 0 to {classes - 1}, or "
                    f"ignore_index={self.ignore_index} for no target; got {int(index[inside != index][0])}"
                )

            later = check_numbers((inside != index).any(), error)
            return inside if later else index
        return index

    def checked_target(self, scores: Tensor, target: Tensor, dim: int) -> Tensor:
        """Checks a target that holds class indices, as :meth:`checked_index` does, or probabilities.

        Raises:
            ValueError: if probabilities have not the scores' shape, or ``ignore_index`` is a class, which
                means nothing for them.
        """
        if not target.is_floating_point():
            return self.checked_index(scores, target, dim)
        if target.shape != scores.shape:
            raise ValueError(
                f"{self.label()}: expected probabilities of the scores' shape {shape(scores)}, "
                f"got {shape(target)}"
            )
        if self.ignore_index >= 0:
            raise ValueError(f"{self.label()}: ignore_index has no meaning for probabilities as targets")
        return target.to(scores.dtype)

    def count(self, target: Tensor) -> float:
        """Returns what the mean divides by: how much the positions of a checked target count together.

        Class indices count by the weights of their classes; with probabilities, every position counts alike.
        """
        if target.is_floating_point():
            return target.numel() / max(target.shape[0 if target.dim() == 1 else self.dim], 1)
        counted = target[target != self.ignore_index]
        return counted.numel() if self.weight is None else float(self.weight[counted].sum())

    def extra_repr(self) -> str:
        parts = [] if self.weight is None else [f"weight={self.weight.tolist()}"]
        parts += [] if self.ignore_index == -100 else [f"ignore_index={self.ignore_index}"]
        parts += [super().extra_repr()] if self.reduction != "mean" else []
        parts += [] if self.dim == 1 else [f"dim={self.dim}"]
        return ", ".join(parts)
