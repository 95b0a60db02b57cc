"""History: what a training recorded, as lists, as a table and as a picture."""

from __future__ import annotations

import csv
import math
from bisect import bisect_left
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from ds_core.drawing import BLUE, GREEN, INK, RED, SOFT, curves, new, write
from ds_core.training.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Column = list[Any]  # of numbers
COUNTS = ("step", "epoch")  # whole numbers, in both tables
_TREND_POINTS = 500
_FEW = 40  # points are marked where there are no more than this


class History:
    """Two tables of numbers, one row for each optimizer step and one for each validation.

    ``history["loss"]`` is a column of either. Of the steps: ``step`` (from 1), ``epoch`` (from 1), ``loss``
    (of training), ``lr`` (the step was taken with), and ``grad_norm`` if gradients were clipped (before it).
    Of the validations: ``step``, ``epoch``, ``val_loss`` and ``val_NAME`` for each metric that
    is one number.

    Attributes:
        train: column name -> list, a number for each step.
        validation: column name -> list, a number for each validation.
        stopped: why training ended before its time; None if it did not.
    """

    def __init__(self) -> None:
        self.train: dict[str, Column] = {}
        self.validation: dict[str, Column] = {}
        self.stopped: str | None = None

    def __len__(self) -> int:
        """Counts the steps."""
        return len(self.train.get("step", ()))

    def __getitem__(self, name: str) -> Column:
        """Returns a column of the steps, or of the validations.

        Raises:
            KeyError: if neither has it; lists those there are.
        """
        for table in (self.train, self.validation):
            if name in table:
                return table[name]
        raise KeyError(f"{name}: expected one of {', '.join(dict.fromkeys([*self.train, *self.validation]))}")

    def best(self, name: str = "val_loss", mode: Literal["min", "max"] = "min") -> float:
        """Returns the smallest (or largest) number of a column; NaN does not count.

        Raises:
            KeyError: if there is no such column.
            ValueError: if it holds no number, or the mode is another word.
        """
        if mode not in ("min", "max"):
            raise ValueError(f"history.best: expected mode 'min' or 'max', got {mode!r}")
        numbers = [value for value in self[name] if not math.isnan(value)]
        if not numbers:
            raise ValueError(f"history: {name} holds no number")
        return min(numbers) if mode == "min" else max(numbers)

    def epochs(self) -> list[float]:
        """Returns the mean training loss of each epoch."""
        losses: dict[int, list[float]] = {}
        for epoch, loss in zip(self.train.get("epoch", ()), self.train.get("loss", ()), strict=True):
            losses.setdefault(epoch, []).append(loss)
        return [sum(values) / len(values) for values in losses.values()]

    def record_step(self, **numbers: float) -> None:
        """Adds a row to the steps."""
        _add_row(self.train, numbers)

    def record_validation(self, **numbers: float) -> None:
        """Adds a row to the validations."""
        _add_row(self.validation, numbers)

    # ---- as a dict, and as a table -------------------------------------------------------------------

    def to_dict(self) -> dict[str, dict[str, Column]]:
        """Returns copies of both tables, ready for JSON."""
        return {
            "train": {name: list(column) for name, column in self.train.items()},
            "validation": {name: list(column) for name, column in self.validation.items()},
        }

    def state_dict(self) -> dict[str, Any]:
        """Returns both tables as tensors, for a checkpoint."""
        return {
            table: {
                name: torch.tensor(column, dtype=torch.int64 if name in COUNTS else torch.float64)
                for name, column in columns.items()
            }
            for table, columns in self.to_dict().items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes both tables over."""
        self.train = {name: column.tolist() for name, column in state["train"].items()}
        self.validation = {name: column.tolist() for name, column in state["validation"].items()}

    def columns(self) -> list[str]:
        """Names the columns of the joint table :meth:`rows` gives."""
        return [*self.train, *(name for name in self.validation if name not in COUNTS)]

    def rows(self, start: int = 0) -> list[dict[str, Any]]:
        """Returns the joint table from a row on: one dict a step, with the validation after it, if any."""
        validated = self.validation.get("step", [])
        rows = []
        for i in range(start, len(self)):
            row = {name: column[i] for name, column in self.train.items()}
            place = bisect_left(validated, row["step"])
            if place < len(validated) and validated[place] == row["step"]:
                row |= {name: c[place] for name, c in self.validation.items() if name not in COUNTS}
            rows.append(row)
        return rows

    def to_csv(self, path: str | Path) -> Path:
        """Writes one row a step; the columns of the validation are empty where there was none."""
        path = Path(path)
        with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns())
            writer.writeheader()
            writer.writerows(self.rows())
        return path

    # ---- as a picture --------------------------------------------------------------------------------

    def plot(
        self,
        path: str | Path | None = None,
        *,
        baselines: Mapping[str, float] | None = None,
        title: str = "",
        log: bool = False,
    ) -> Figure:
        """Draws losses over steps, with each metric and the learning rate in panels of their own below.

        Args:
            path: where to write the picture (``loss.png``); None to only return it.
            baselines: name -> loss, drawn as horizontal lines.
            title: above the picture.
            log: whether losses are on a logarithmic scale.

        Returns:
            The matplotlib figure; a notebook shows it.

        Raises:
            ImportError: if matplotlib is missing; says how to install it.
            ValueError: if nothing has been recorded.
        """
        if not len(self):
            raise ValueError("history.plot: expected at least one step, got none")
        return write(_draw(self, baselines or {}, title, log), path)


def _add_row(table: dict[str, Column], row: Mapping[str, float]) -> None:
    """Adds a row; where a run was resumed with other columns, NaN fills the gaps."""
    length = len(table.get("step", ()))
    for name in row:
        table.setdefault(name, [math.nan] * length)
    for name, column in table.items():
        column.append(row.get(name, math.nan))


# ---- the picture ---------------------------------------------------------------------------------------


def _draw(history: History, baselines: Mapping[str, float], title: str, log: bool) -> Figure:
    """Draws the losses, below them a panel for each metric, and one for the learning rate if it changes."""
    train, validation = history.train, history.validation
    metrics = [name for name in validation if name not in ("step", "epoch", "val_loss")]
    rate_changes = len(set(train["lr"])) > 1
    heights = [4.0] + [1.6] * len(metrics) + [1.0] * rate_changes
    figure = new(title, 8, sum(heights) + 0.8)
    panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]

    _draw_losses(panels[0], history, baselines, log)
    for axes, name in zip(panels[1:], metrics, strict=False):
        mark = "o" if len(validation["step"]) <= _FEW else ""
        axes.plot(validation["step"], validation[name], color=GREEN, marker=mark, markersize=3)
        axes.set_ylabel(name.removeprefix("val_").replace("_", " "))
    if rate_changes:
        panels[-1].plot(train["step"], train["lr"], color=INK, linewidth=1.2)
        panels[-1].set_ylabel("learning rate")
        panels[-1].set_ylim(bottom=0)
        panels[-1].yaxis.set_major_formatter(lambda rate, _: f"{rate:g}")
    panels[-1].set_xlabel("step")
    for axes in panels:
        curves(axes)
    figure.align_ylabels()
    return figure


def _draw_losses(axes: Axes, history: History, baselines: Mapping[str, float], log: bool) -> None:
    train, validation = history.train, history.validation
    if len(history) < 50:
        axes.plot(train["step"], train["loss"], color=BLUE, linewidth=1.8, label="training")
    else:  # every step faintly, and the trend through it
        axes.plot(train["step"], train["loss"], color=BLUE, alpha=0.22, linewidth=0.7)
        places, means = _trend(train["loss"])
        steps = [train["step"][place] for place in places]
        axes.plot(steps, means, color=BLUE, linewidth=1.8, label="training (smoothed)")
    if "val_loss" in validation:
        last, best = validation["val_loss"][-1], min(validation["val_loss"], key=_nan_last)
        axes.plot(
            validation["step"],
            validation["val_loss"],
            color=RED,
            linewidth=1.8,
            marker="o" if len(validation["step"]) <= _FEW else "",
            markersize=4,
            label=f"validation (last {last:.3g}, best {best:.3g})",
        )
    for name, value in baselines.items():
        axes.axhline(value, color=SOFT, linestyle=(0, (5, 3)), linewidth=1.1)
        axes.annotate(
            f"{name} {value:.3g}",
            (1, value),
            xycoords=("axes fraction", "data"),
            xytext=(-4, 3),
            textcoords="offset points",
            ha="right",
            color=INK,
            fontsize=9,
        )
    axes.set_ylabel("loss")
    if log:
        axes.set_yscale("log")
        from matplotlib.ticker import LogFormatter

        axes.yaxis.set_major_formatter(LogFormatter())
        axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.5)))
    axes.legend(
        loc="lower left",  # of the legend, at the upper left of the panel: nothing is hidden
        bbox_to_anchor=(0, 1),
        borderpad=0,
        ncols=2,
        frameon=False,
        labelcolor=INK,
        fontsize=9.5,
    )


def _nan_last(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _trend(values: list[float]) -> tuple[list[int], list[float]]:
    """Returns places along the run and the mean of a fiftieth of the run on either side of each."""
    count = len(values)
    places = [*range(0, count - 1, max(1, count // _TREND_POINTS)), count - 1]
    means = []
    for place in places:
        # As many before as after at the steep beginning, so that the trend begins where the run did.
        half = min(count // 50, place)
        near = values[place - half : place + half + 1]
        means.append(sum(near) / len(near))
    return places, means
