"""ClassLoss: what the losses over classes share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ds_core.checks import check_floating, shape
from ds_core.losses.loss import Loss, Reduction


@dataclass(frozen=True)
class Picked:
    """Class indices, checked and weighed."""

    index: Tensor  # shaped like the scores, but of size 1 in the class dimension
    ignored: Tensor | None  # shaped like the target: where it says "no target"; None if nowhere
    weight: Tensor  # shaped like the target: the weight of its class, or 0
    count: float  # the sum of weight, by which the mean divides

    def take(self, scores: Tensor, dim: int) -> Tensor:
        """Returns the score of the right class, shaped like the target; 0 where there is none."""
        taken = scores.gather(dim, self.index).squeeze(dim)
        return taken if self.ignored is None else taken.masked_fill(self.ignored, 0)


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

    def pick(self, scores: Tensor, target: Tensor, dim: int) -> Picked:
        """Checks class indices against the scores and weighs them.

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
        expected = scores.shape[:dim] + scores.shape[dim + 1 :]
        if target.shape != expected:
            raise ValueError(
                f"{self.label()}: expected class indices of shape {tuple(expected)} for scores of shape "
                f"{shape(scores)} with the classes in dimension {dim}, got {shape(target)}"
            )
        index, ignored = target.to(torch.int64), None
        low, high = _ends(index)
        if low <= self.ignore_index <= high:
            ignored = index == self.ignore_index
            index = index.masked_fill(ignored, 0)
            low, high = _ends(index)
        if low < 0 or high >= scores.shape[dim]:
            raise IndexError(
                f"{self.label()}: expected class indices from 0 to {scores.shape[dim] - 1}, or "
                f"ignore_index={self.ignore_index} for no target; got {low if low < 0 else high}"
            )
        if self.weight is None:
            weight = scores.new_ones(()).expand(expected)
        else:
            weight = self.weight.index_select(0, index.reshape(-1)).view(expected)
        if ignored is not None:
            weight = weight.masked_fill(ignored, 0)
        count = index.numel() if self.weight is None and ignored is None else float(weight.sum())
        return Picked(index.unsqueeze(dim), ignored, weight, count)

    def count(self, target: Tensor) -> float:
        """Returns what the mean divides by: how much the positions of a checked target count together."""
        counted = target[target != self.ignore_index]
        return counted.numel() if self.weight is None else float(self.weight[counted].sum())

    def extra_repr(self) -> str:
        parts = [] if self.weight is None else [f"weight={self.weight.tolist()}"]
        parts += [] if self.ignore_index == -100 else [f"ignore_index={self.ignore_index}"]
        parts += [super().extra_repr()] if self.reduction != "mean" else []
        parts += [] if self.dim == 1 else [f"dim={self.dim}"]
        return ", ".join(parts)


def _ends(index: Tensor) -> tuple[int, int]:
    """Returns the smallest and the largest index, 0 and 0 if there is none."""
    if index.numel() == 0:
        return 0, 0
    low, high = index.aminmax()
    return int(low), int(high)
