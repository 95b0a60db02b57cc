"""Metric: what all metrics share, above all that batches go in one by one and one number comes out."""

from __future__ import annotations

import copy
from typing import Any, TypedDict

import torch
from torch import Tensor

from ds_core.checks import checked_constructor, shape, shown


class Metric:
    """Base of the metrics: ``update`` with each batch, ``compute`` once, ``reset`` for the next round.

    The result is that of all entries seen, not the mean of the batches' results. Calling a metric on one
    batch gives the result of that batch alone and leaves what has been collected untouched.

    A subclass has three methods: ``reset`` binds an empty state, ``_add`` takes a batch into it and returns
    how many entries counted, ``_result`` turns it into the number.

    Attributes:
        name: how it is called in tables, logs and by :func:`as_metric`.
        count: entries seen since the last reset.

    Example:
        >>> accuracy = Accuracy()
        >>> for x, y in loader:
        ...     accuracy.update(model(x), y)
        >>> accuracy.compute()
        0.975
        >>> accuracy(model(x), y)  # of this batch alone
        1.0
    """

    name: str
    count: int

    def __init_subclass__(cls, **options: Any) -> None:
        """Makes a metric's constructor check its arguments."""
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = checked_constructor(cls.__init__)  # type: ignore[method-assign]

    def __init__(self) -> None:
        self.reset()

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Takes in one batch; an empty one changes nothing.

        Raises:
            TypeError, ValueError: if the two do not belong together; says what was expected.
        """
        for name, value in (("prediction", prediction), ("target", target)):
            if not isinstance(value, Tensor):
                raise TypeError(f"{self.label()}: expected the {name} as a tensor, got {shown(value)}")
            if value.is_complex() or value.is_meta:
                raise TypeError(f"{self.label()}: expected real numbers as the {name}, got {shown(value)}")
        with torch.no_grad():
            self.count += self._add(prediction.detach(), target.detach())

    def compute(self) -> Any:
        """Returns the result over everything since the last reset.

        Raises:
            RuntimeError: if there was nothing.
        """
        if not self.count:
            raise RuntimeError(f"{self.label()}: nothing to compute: no entry has come in through update")
        return self._result()

    def reset(self) -> None:
        """Forgets everything seen."""
        self.count = 0

    def __call__(self, prediction: Tensor, target: Tensor) -> Any:
        """Returns the result of one batch alone."""
        alone = copy.copy(self)
        alone.reset()
        alone.update(prediction, target)
        return alone.compute()

    def _add(self, prediction: Tensor, target: Tensor) -> int:
        raise NotImplementedError(f"{type(self).__name__} has no _add")

    def _result(self) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no _result")

    def extra_repr(self) -> str:
        """Returns the constructor arguments worth showing, as ``k=5``."""
        return ""

    def label(self) -> str:
        """Returns the metric's name and arguments, as error messages show it."""
        return f"{type(self).__name__}({self.extra_repr()})"

    __repr__ = label


class ClassOptions(TypedDict, total=False):
    """The arguments of :class:`ClassMetric`, which its subclasses pass on."""

    dim: int
    threshold: float | None
    ignore_index: int | None


class ClassMetric(Metric):
    """Base of the metrics of classification: brings whatever a model returns into one form.

    Args:
        dim: the dimension of a prediction that runs over the classes, as in ``CrossEntropyLoss``.
        threshold: above it, a single score means class 1: 0 for logits, 0.5 for probabilities.
        ignore_index: entries with this target do not count.

    Shape:
        prediction ``(N, C, ...)`` scores of C classes, or the target's shape: class indices, or one score of
        class 1; target ``(N, ...)`` class indices 0 ... C-1 (0 and 1 may be floating point).

    Raises:
        ValueError: if shapes do not match, a target is outside the classes, or a score is NaN.
        TypeError: if targets are not class indices, or single scores come without a threshold.
    """

    def __init__(
        self, *, dim: int = 1, threshold: float | None = None, ignore_index: int | None = None
    ) -> None:
        self.dim = dim
        self.threshold = threshold
        self.ignore_index = ignore_index
        super().__init__()

    def _entries(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the prediction as ``(n, C)`` scores or ``(n,)`` and the targets ``(n,)`` that count."""
        if prediction.shape == target.shape:
            prediction = prediction.reshape(-1)
        else:
            dim = 0 if prediction.dim() == 1 else self.dim  # (C,) is one entry without a batch
            sizes = list(prediction.shape)
            fits = -len(sizes) <= dim < len(sizes) and sizes.pop(dim) > 0 and sizes == list(target.shape)
            if not fits:
                raise ValueError(
                    f"{self.label()}: expected a prediction of the target's shape, or with classes along "
                    f"dimension {self.dim} and otherwise the target's shape, "
                    f"got prediction {shape(prediction)} and target {shape(target)}"
                )
            prediction = prediction.movedim(dim, -1).reshape(-1, prediction.shape[dim])
        target = self._as_indices(target.reshape(-1), "targets")
        if self.ignore_index is not None:
            counts = target != self.ignore_index
            prediction, target = prediction[counts], target[counts]
        if prediction.is_floating_point() and prediction.isnan().any():
            raise ValueError(f"{self.label()}: expected scores, got NaN in the prediction")
        self._check_range(target, prediction.shape[1] if prediction.dim() == 2 else None, "target")
        return prediction, target

    def _predicted(self, prediction: Tensor) -> Tensor:
        """Turns entries into predicted classes ``(n,)``; of equal scores the lowest class wins."""
        if prediction.dim() == 2:
            return prediction.argmax(1)
        if not prediction.is_floating_point():
            return self._as_indices(prediction, "predictions")
        if self.threshold is None:
            raise TypeError(
                f"{self.label()}: expected class indices, or scores of each class, got {prediction.dtype} "
                "scores of the target's shape; for two classes pass threshold=0.0 if they are logits, "
                "threshold=0.5 if they are probabilities"
            )
        return (prediction > self.threshold).long()

    def _as_indices(self, labels: Tensor, what: str) -> Tensor:
        if labels.is_floating_point() and not ((labels == 0) | (labels == 1)).all():
            raise TypeError(
                f"{self.label()}: expected {what} to be class indices, got {labels.dtype} "
                "with other values than 0 and 1"
            )
        return labels.long()

    def _check_range(self, labels: Tensor, classes: int | None, what: str) -> None:
        if not labels.numel():
            return
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or (classes is not None and high >= classes):
            wanted = "at least 0" if classes is None else f"0 to {classes - 1}"
            raise ValueError(
                f"{self.label()}: expected each {what} class {wanted}, got {low if low < 0 else high}"
            )
