"""ConfusionMatrix: who was taken for whom; and the counting that precision, recall and F share with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

import torch
from torch import Tensor

from ds_core.drawing import FROM_ZERO, INK, PLAIN, dress, explain, new, shades, write
from ds_core.metrics.metric import ClassMetric, ClassOptions

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# More classes than this (a matrix of 128 MiB) look like a mistake unless the caller names their number.
_MANY_CLASSES = 4096
# With more classes than this a picture shows colours only: numbers would be too small to read.
_MANY_CELLS = 30


class CountOptions(ClassOptions, total=False):
    """The arguments of :class:`ConfusionCounts`, which its subclasses pass on."""

    classes: int | None


class ConfusionCounts(ClassMetric):
    """Base of the metrics that need no more than the confusion matrix: streams in O(C^2) memory.

    Args:
        classes: C; None to take it from the scores, or to grow with the class indices that come.
        options: ``dim``, ``threshold``, ``ignore_index``, see :class:`ClassMetric`.

    Raises:
        ValueError: as :class:`ClassMetric`; and for very many classes that ``classes`` does not announce.
    """

    matrix: Tensor  # (C, C) int64: row is the target, column the prediction

    def __init__(self, *, classes: int | None = None, **options: Unpack[ClassOptions]) -> None:
        if classes is not None and classes < 1:
            raise ValueError(f"{type(self).__name__}: expected at least 1 class, got classes={classes}")
        self.classes = classes
        super().__init__(**options)

    def reset(self) -> None:
        super().reset()
        self.matrix = torch.zeros(self.classes or 0, self.classes or 0, dtype=torch.int64)

    def _add(self, prediction: Tensor, target: Tensor) -> int:
        prediction, target = self._entries(prediction, target)
        predicted = self._predicted(prediction)
        self._check_range(predicted, self.classes, "predicted")
        self._check_range(target, self.classes, "target")
        if not target.numel():
            return 0
        own = (
            prediction.shape[1] if prediction.dim() == 2 else int(torch.maximum(predicted, target).max()) + 1
        )
        classes = self._grow_to(own)
        cells = torch.bincount(target * classes + predicted, minlength=classes * classes)
        self.matrix += cells.view(classes, classes).cpu()
        return target.numel()

    def _grow_to(self, classes: int) -> int:
        """Makes room for more classes than have been seen; returns how many there are now."""
        known = len(self.matrix)
        if classes <= known:
            return known
        if self.classes is None and classes > _MANY_CLASSES:
            raise ValueError(
                f"{self.label()}: {classes} classes need a matrix of {classes**2 * 8 / 2**30:.1f} GiB; "
                f"pass classes={classes} if this is meant"
            )
        grown = torch.zeros(classes, classes, dtype=torch.int64)
        grown[:known, :known] = self.matrix
        self.matrix = grown
        return classes


class ConfusionMatrix(ConfusionCounts):
    """Counts, for each target class (row), how often each class (column) was predicted.

    Args:
        normalize: divides by the row's total ("true"), the column's ("pred") or all ("all"); None for counts.
            A row or column without entries stays 0.
        options: ``classes``, ``dim``, ``threshold``, ``ignore_index``, see :class:`ConfusionCounts`.

    Shape:
        result ``(C, C)``: int64, or float64 where normalized.

    Raises:
        ValueError: as :class:`ConfusionCounts`.
    """

    name = "confusion_matrix"

    def __init__(
        self, normalize: Literal["true", "pred", "all"] | None = None, **options: Unpack[CountOptions]
    ) -> None:
        if normalize not in (None, "true", "pred", "all"):
            raise ValueError(
                f"ConfusionMatrix: expected normalize 'true', 'pred', 'all' or None, got {normalize!r}"
            )
        self.normalize = normalize
        super().__init__(**options)

    def _result(self) -> Tensor:
        return self._shares(self.normalize) if self.normalize else self.matrix.clone()

    def _shares(self, of: str) -> Tensor:
        totals = {
            "true": self.matrix.sum(1, keepdim=True),
            "pred": self.matrix.sum(0, keepdim=True),
            "all": self.matrix.sum(),
        }
        return self.matrix.double() / totals[of].clamp(min=1)

    def plot(self, path: str | Path | None = None, class_names: Sequence[str] | None = None) -> Figure:
        """Draws the matrix: the numbers of :meth:`compute`, shaded by their share of the row.

        Args:
            path: where the picture is written, its ending says how (.png, .svg, .pdf); None for not at all.
            class_names: one for each class; None for their indices.

        Returns:
            The matplotlib figure.

        Raises:
            ImportError: if matplotlib is missing; says how to install it.
            RuntimeError: if no entry has been seen.
            ValueError: if the names are not as many as the classes.
        """
        numbers = self.compute()
        classes = len(numbers)
        names = [str(i) for i in range(classes)] if class_names is None else list(class_names)
        if len(names) != classes:
            raise ValueError(f"{self.label()}.plot: expected {classes} class names, got {len(names)}")
        side = min(max(3.0, 0.55 * classes), 12.0)
        right = int(self.matrix.diagonal().sum())
        title = f"{right:,} of {self.count:,} right ({right / self.count:.1%})"
        figure = new("", side + 1.6, side + 1.0)
        axes = figure.subplots()
        shares = self._shares("true")
        drawn = shades(axes, shares, FROM_ZERO, 0, 1)
        explain(figure, drawn, axes, "share of the true class")
        dress(axes, title, "predicted", "true")
        axes.set_xticks(range(classes), names, **PLAIN)
        axes.set_yticks(range(classes), names, **PLAIN)
        if max(map(len, names)) > 3:
            for label in axes.get_xticklabels():
                label.set(rotation=45, ha="right", rotation_mode="anchor")
        if classes <= _MANY_CELLS:
            for row in range(classes):
                for column in range(classes):
                    number = numbers[row, column].item()
                    if number:
                        axes.text(
                            column,
                            row,
                            f"{number:.2f}" if self.normalize else f"{number:,}",
                            ha="center",
                            va="center",
                            fontsize=8 if classes <= 12 else 6,
                            color="white" if shares[row, column] > 0.5 else INK,
                        )
        return write(figure, path)

    def extra_repr(self) -> str:
        return "" if self.normalize is None else f"normalize={self.normalize!r}"
