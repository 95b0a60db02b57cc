"""Precision, recall and F: one formula, which weighs two ways of being wrong."""

from __future__ import annotations

import math
from typing import Literal, Unpack

import torch
from torch import Tensor

from ds_core.metrics.confusion_matrix import ConfusionCounts, CountOptions

Average = Literal["macro", "micro", "weighted", "binary"] | None


class _Weighed(ConfusionCounts):
    """Base of the three: a class's hits over a weighed mean of what it was given and what it is.

    Of one class, with tp entries rightly given to it, ``predicted`` given to it and ``actual`` of it:
    score = tp / ((1 - w) predicted + w actual)

    A class whose denominator is 0 scores 0. "macro" leaves out classes that occur neither as target nor as
    prediction.

    Args:
        recall_weight: w.
        average: "macro" (mean over classes), "weighted" (mean over classes, each as often as it is a target),
            "micro" (all classes' counts added up first), "binary" (class 1 of two), None (each class).
        options: see :class:`ConfusionCounts`.
    """

    def __init__(self, recall_weight: float, average: Average, **options: Unpack[CountOptions]) -> None:
        if average not in ("macro", "micro", "weighted", "binary", None):
            raise ValueError(
                f"{type(self).__name__}: expected average 'macro', 'micro', 'weighted', 'binary' or None, "
                f"got {average!r}"
            )
        self.recall_weight = recall_weight
        self.average = average
        super().__init__(**options)

    def _result(self) -> float | Tensor:
        if self.average == "binary":
            if len(self.matrix) > 2:
                raise ValueError(
                    f"{self.label()}: expected two classes, got {len(self.matrix)}; "
                    "choose average='macro', 'micro' or 'weighted'"
                )
            self._grow_to(2)
        right = self.matrix.diagonal()  # (C,)
        predicted, actual = self.matrix.sum(0), self.matrix.sum(1)
        if self.average == "micro":
            right, predicted, actual = right.sum(), predicted.sum(), actual.sum()
        denominator = (1 - self.recall_weight) * predicted.double() + self.recall_weight * actual.double()
        scores = right / torch.where(denominator > 0, denominator, 1.0)
        if self.average is None:
            return scores
        if self.average == "macro":
            return float(scores[predicted + actual > 0].mean())
        if self.average == "weighted":
            return float((scores * actual).sum() / actual.sum())
        return float(scores[1] if self.average == "binary" else scores)

    def extra_repr(self) -> str:
        return f"average={self.average!r}"


class Precision(_Weighed):
    """Asks, of the entries given to a class, how many are of it: tp / predicted (0 if there are none).

    Args:
        average: "macro" (mean over classes that occur), "weighted" (by how often each is a target), "micro"
            (counts added up first), "binary" (class 1 of two), None (each class).
        options: ``classes``, ``dim``, ``threshold``, ``ignore_index``, see :class:`ConfusionCounts`.

    Shape:
        result: a number, or ``(C,)`` float64 for ``average=None``.

    Raises:
        ValueError: if the average is another word, or there are more than two classes for "binary"; and as
            :class:`ConfusionCounts`.
    """

    name = "precision"

    def __init__(self, average: Average = "macro", **options: Unpack[CountOptions]) -> None:
        super().__init__(0.0, average, **options)


class Recall(_Weighed):
    """Asks, of the entries of a class, how many were found: tp / actual (0 if there are none).

    Args:
        average, options: see :class:`Precision`.

    Raises:
        ValueError: as :class:`Precision`.
    """

    name = "recall"

    def __init__(self, average: Average = "macro", **options: Unpack[CountOptions]) -> None:
        super().__init__(1.0, average, **options)


class FBeta(_Weighed):
    """Weighs precision against recall, which counts ``beta`` times as much.

    F = (1 + beta^2) P R / (beta^2 P + R) = tp / ((1 - w) predicted + w actual),   w = beta^2 / (1 + beta^2)

    Args:
        beta: 1 for the F1 score; 0 is precision, infinity is recall.
        average, options: see :class:`Precision`.

    Raises:
        ValueError: if beta is negative; and as :class:`Precision`.

    Source: van Rijsbergen, Information Retrieval (1979), chapter 7.
    """

    def __init__(
        self, beta: float = 1.0, average: Average = "macro", **options: Unpack[CountOptions]
    ) -> None:
        if not beta >= 0:
            raise ValueError(f"FBeta: expected beta of at least 0, got {beta}")
        self.beta = beta
        self.name = f"f{beta:g}"
        super().__init__(1.0 if math.isinf(beta) else beta**2 / (1 + beta**2), average, **options)

    def extra_repr(self) -> str:
        return f"beta={self.beta:g}, {super().extra_repr()}"
