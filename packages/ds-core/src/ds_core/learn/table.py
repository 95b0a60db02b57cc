"""The course checks itself: one row for each exercise."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import track
from rich.text import Text

from ds_core.learn.exercise import Exercise
from ds_core.learn.judge import Verdict, judge
from ds_core.learn.mutants import Mutant, mutants
from ds_core.verify.report import table as start_table

WANTED = 3  # mistakes of each exercise that must be seen and named


@dataclass
class Row:
    """What an exercise makes of good and bad code.

    Attributes:
        exercise: which.
        own: of the library's own code.
        given: of the file as it is given.
        mistakes: those that were tried, with what became of them.
        made: how many mistakes a program can make there.
    """

    exercise: Exercise
    own: Verdict
    given: Verdict
    mistakes: list[tuple[Mutant, Verdict]] = field(default_factory=list)
    made: int = 0

    @property
    def seen(self) -> list[tuple[Mutant, Verdict]]:
        """Lists the mistakes that do not pass."""
        return [(mutant, verdict) for mutant, verdict in self.mistakes if not verdict.passed]

    @property
    def named(self) -> list[tuple[Mutant, Verdict]]:
        """Lists those of them whose cause is named."""
        return [(mutant, verdict) for mutant, verdict in self.seen if verdict.looks_like]

    @property
    def ok(self) -> bool:
        """Whether all is as it should be."""
        return (
            self.own.passed and not self.given.passed and not self.given.written and len(self.named) >= WANTED
        )


def examine(exercise: Exercise, wanted: int = WANTED) -> Row:
    """Tries the library's own code, the file as it is given, and mistakes until enough of them are named."""
    row = Row(exercise, judge(exercise, exercise.solution), judge(exercise, exercise.given))
    made = mutants(exercise.solution, exercise.path)
    row.made = len(made)
    for mutant in _varied(made):
        if len(row.named) >= wanted:
            break
        row.mistakes.append((mutant, judge(exercise, mutant.text)))
    return row


def _varied(made: Sequence[Mutant]) -> Iterator[Mutant]:
    """Yields mistakes so that each kind comes once before any comes twice."""
    left = list(made)
    while left:
        kinds: set[str] = set()
        for mutant in list(left):
            if mutant.kind not in kinds:
                kinds.add(mutant.kind)
                left.remove(mutant)
                yield mutant


def print_table(chosen: Sequence[Exercise], messages: bool) -> bool:
    """Prints the table; returns whether all is as it should be."""
    console = Console(emoji=False, highlight=False, width=None if sys.stdout.isatty() else 140)
    progress = Console(stderr=True)
    live = track(chosen, "Checking", console=progress, transient=True, disable=not progress.is_terminal)
    rows = [examine(exercise) for exercise in live]
    columns = (
        "exercise",
        "the library's\nown code",
        "left open",
        "mistakes\nseen",
        "cause\nnamed",
        "can be\nmade",
    )
    shown = start_table("The course", *columns)
    for row in rows:
        own = Text("passes ✓", "green") if row.own.passed else Text("fails ✗", "bold red")
        given = Text("a hint ✓", "green") if not row.given.written else Text("passes ✗", "bold red")
        seen = f"{len(row.seen)} of {len(row.mistakes)}"
        named = Text(f"{len(row.named)}", "green" if len(row.named) >= WANTED else "bold red")
        shown.add_row(row.exercise.name, own, given, seen, named, str(row.made))
    console.print(shown)
    for row in rows:
        for about, what in row.own.problems:
            console.print(Text(f"✗ {row.exercise.name}, the library's own: {about}: {what}", "bold red"))
        for mutant, verdict in row.mistakes if messages else []:
            said = "; ".join(f"{about}: {what}" for about, what in verdict.problems[:2]) or "PASSES"
            console.print(Text(f"{row.exercise.name}, {mutant.what}", "bold"))
            console.print(Text(f"    {said}"))
            if verdict.looks_like:
                console.print(Text(f"    → It looks as if {verdict.looks_like}.", "cyan"))
    good = sum(row.ok for row in rows)
    console.print(
        Text(
            f"{good} of {len(rows)} exercises are as they should be.",
            "bold green" if good == len(rows) else "bold red",
        )
    )
    return good == len(rows)
