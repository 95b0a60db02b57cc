"""History: what a training recorded, as lists, as a table and as a picture."""

from __future__ import annotations

import csv
import math
from bisect import bisect_left
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from ds_core.training.files import atomic_write
from ds_core.training.plot import draw_history

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Column = list[Any]  # of numbers
COUNTS = ("step", "epoch")  # whole numbers, in both tables


class History:
    """Two tables of numbers, one row for each optimizer step and one for each validation.

    ``history["loss"]`` is a column of either. Of the steps: ``step`` (from 1), ``epoch`` (from 1), ``loss``
    (of training), ``lr`` (the step was taken with), and ``grad_norm`` if gradients were clipped (before it).
    Of the validations: ``step``, ``epoch``, ``val_loss`` and ``val_NAME`` for each metric.

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
            ValueError: if it holds no number.
        """
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
        try:
            figure = draw_history(self, baselines or {}, title, log)
        except ImportError as error:
            raise ImportError("history.plot needs matplotlib: pip install 'ds-core[plot]'") from error
        if path is not None:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path)
        return figure


def _add_row(table: dict[str, Column], row: Mapping[str, float]) -> None:
    """Adds a row; where a run was resumed with other columns, NaN fills the gaps."""
    length = len(table.get("step", ()))
    for name in row:
        table.setdefault(name, [math.nan] * length)
    for name, column in table.items():
        column.append(row.get(name, math.nan))
