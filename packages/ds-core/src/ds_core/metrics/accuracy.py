"""Accuracy: the share of entries that are right, or right within the first k."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from ds_core.metrics.metric import ClassMetric, ClassOptions


class Accuracy(ClassMetric):
    """Counts how many entries are predicted correctly.

    accuracy = (entries whose target is among their k highest scores) / entries

    Of equal scores the lower class ranks higher, as in argmax, for every k. Streams in two numbers.

    Args:
        k: how many guesses an entry has; above 1 the prediction must be scores.
        options: ``dim``, ``threshold``, ``ignore_index``, see :class:`ClassMetric`.

    Raises:
        ValueError: if k is not positive, or above 1 without scores; and as :class:`ClassMetric`.
    """

    def __init__(self, k: int = 1, **options: Unpack[ClassOptions]) -> None:
        if k < 1:
            raise ValueError(f"Accuracy: expected k of at least 1, got {k}")
        self.k = k
        self.name = "accuracy" if k == 1 else f"top{k}_accuracy"
        super().__init__(**options)

    def reset(self) -> None:
        super().reset()
        self.correct = 0

    def _add(self, prediction: Tensor, target: Tensor) -> int:
        prediction, target = self._entries(prediction, target)
        if self.k == 1:
            right = self._predicted(prediction) == target
        else:
            right = self._in_first_k(prediction, target)
        self.correct += int(right.sum())
        return target.numel()

    def _in_first_k(self, scores: Tensor, target: Tensor) -> Tensor:
        """Says for each entry whether fewer than k classes rank before its target."""
        if scores.dim() != 2:
            raise ValueError(f"{self.label()}: expected scores of each class, got one value an entry")
        index = target[:, None]
        own = scores.gather(1, index)  # (n, 1)
        lower = torch.arange(scores.shape[1], device=scores.device) < index  # (n, C)
        before = (scores > own) | ((scores == own) & lower)
        return before.sum(1) < self.k

    def _result(self) -> float:
        return self.correct / self.count

    def extra_repr(self) -> str:
        return "" if self.k == 1 else f"k={self.k}"
