"""Reports as tables, in colour where the terminal has it, plain elsewhere."""

from __future__ import annotations

import io
import math
import shutil
import sys
from dataclasses import dataclass, field

import torch
from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ds_core.verify.comparison import Limits


class Printed:
    """Base of reports: ``print(report)`` shows the table, and so does a notebook."""

    def __rich__(self) -> RenderableType:
        raise NotImplementedError

    def __str__(self) -> str:
        terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if terminal else 110
        page = io.StringIO()
        console = Console(file=page, force_terminal=terminal, force_jupyter=False, width=width, emoji=False)
        console.print(self)
        return "\n".join(line.rstrip() for line in page.getvalue().splitlines())

    __repr__ = __str__


def table(title: str, *columns: str) -> Table:
    """Starts a table whose first column is text and whose others are numbers."""
    made = Table(title=escape(title), box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
    for i, column in enumerate(columns):
        made.add_column(column, justify="right" if i else "left", overflow="fold")
    return made


def verdict(error: float | None, limit: float) -> Text:
    """Shows one error beside its limit: green and ticked, or red and crossed."""
    if error is None:
        return Text("-", style="dim")
    number = "0" if error == 0 else f"{error:.1e}" if math.isfinite(error) else "wrong"
    return Text(f"{number} ✓", style="green") if error <= limit else Text(f"{number} ✗", style="bold red")


@dataclass
class GradientRow:
    """One output, input or parameter, and the largest relative error against each referee."""

    name: str
    shape: tuple[int, ...]
    tape: float = math.inf
    differences: float | None = None  # None where they were not asked
    entries: int = 0  # how many entries were compared with differences


@dataclass(repr=False)
class GradientReport(Printed):
    """The outcome of :func:`check_gradients`: ``ok`` is the verdict, ``print`` shows the table.

    Attributes:
        label: the module.
        dtype: in which type was computed.
        limits: the largest relative errors that pass.
        rows: one for each output, input and parameter.
        problems: (name, what is wrong with it).
        notes: what these inputs cannot tell.
    """

    label: str
    dtype: torch.dtype
    limits: Limits
    rows: list[GradientRow] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything is right."""
        return not self.problems and all(self.passes(row) for row in self.rows)

    def add(self, row: GradientRow, problem: str) -> None:
        """Adds a row, and the problem if the row is not within the limits."""
        self.rows.append(row)
        if not self.passes(row):
            self.problems.append((row.name, problem))

    def passes(self, row: GradientRow) -> bool:
        """Whether a row is within the limits."""
        return row.tape <= self.limits.tape and (
            row.differences is None or row.differences <= self.limits.differences
        )

    def __rich__(self) -> RenderableType:
        title = f"{self.label}: our backward and two referees, {str(self.dtype).removeprefix('torch.')}"
        shown = table(title, "", "shape", "torch's autograd", "finite differences", "entries")
        culprits = {name for name, _ in self.problems}
        for row in self.rows:
            count = math.prod(row.shape)
            shown.add_row(
                Text(row.name, style="bold red" if row.name in culprits else ""),
                str(row.shape),
                verdict(row.tape, self.limits.tape),
                verdict(row.differences, self.limits.differences),
                f"{row.entries} of {count}" if row.entries else Text("-", style="dim"),
            )
        lines = [Text(f"  ✗ {name}: {what}", style="bold red") for name, what in self.problems]
        if self.ok:
            lines = [Text("  ✓ Every gradient is right.", style="bold green")]
        note = f"  Largest relative errors; up to {self.limits.tape:g} passes against autograd"
        if self.dtype == torch.float64:
            note += f", {self.limits.differences:g} against differences"
        lines += [Text(f"  Note: {said}.", style="yellow") for said in self.notes]
        return Group(shown, *lines, Text(f"{note}.", style="dim"))
