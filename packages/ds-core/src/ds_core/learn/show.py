"""What a learner sees: verdicts, hints, the way so far."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from ds_core.learn.cut import TO_DO, definition
from ds_core.learn.exercise import Chapter, Exercise
from ds_core.learn.folder import FOLDER, NOTHING, Folder, Task, written_part
from ds_core.learn.judge import Verdict, run

HINTS = ("shapes", "the formula", "the derivation")


def shown_verdict(
    verdict: Verdict, exercise: Exercise | None, name: str | None = None, mine: Folder | None = None
) -> RenderableType:
    """Shows a verdict; ``exercise`` is None for a layer of the learner's own."""
    name = name or verdict.exercise
    parts: list[RenderableType] = []
    if verdict.printed:
        parts += [Panel(Text(verdict.printed), title="your code printed", title_align="left", style="dim")]
    report = verdict.report()
    if report is not None:
        parts.append(report)
    if verdict.passed:
        parts += [] if report is not None else [Text("  ✓ Every result is right.", style="bold green")]
        parts.append(Text(f"  ✓ {name} is done.", style="bold green"))
        return Group(*parts)
    if report is None:
        lines = [Text(f"  ✗ {about}: {what}", style="bold red") for about, what in verdict.problems[:6]]
        parts += lines if verdict.written else [Text(f"  ○ {verdict.problems[0][1]}", style="yellow")]
        if len(verdict.problems) > 6:
            parts.append(Text(f"    and {len(verdict.problems) - 6} more", style="red"))
    if verdict.looks_like:
        parts.append(Text(f"  → It looks as if {verdict.looks_like}.", style="bold"))
    if exercise is not None:
        if not verdict.written:
            parts.append(Text(f"    Hint: {exercise.hint}", style="yellow"))
        hint = (mine or Folder(FOLDER)).command(f"hint {name}")
        parts.append(to_copy(f"    More: {hint}", style="dim"))
    return Group(*parts)


def to_copy(text: str, style: str = "") -> Text:
    """Returns a line with a command in it, which only the terminal breaks: a copy of it has no break."""
    return Text(text, style=style, no_wrap=True, overflow="ignore")


def shown_hint(exercise: Exercise, step: int) -> RenderableType:
    """Shows a hint: 1 shapes, 2 the formula, 3 where it is derived.

    Raises:
        ValueError: if there is none of that number.
    """
    if not 1 <= step <= len(HINTS):
        raise ValueError(f"hint: expected step 1, 2 or 3, got {step}")
    title = Text(f"Hint {step} of {len(HINTS)}: {HINTS[step - 1]}", style="bold yellow")
    if step == 1:
        body = "\n".join(exercise.check.shapes(exercise.path, run(exercise.solution, "library")))
    elif step == 2:
        body = exercise.formula_hint()
    else:
        page, section = theory(exercise)
        body = f'{page}, section "{section}"'
    return Group(title, Padding(Text(body), (0, 0, 0, 2)))


def theory(exercise: Exercise) -> tuple[str, str]:
    """Returns the page that derives an exercise, its path where it is there, and the section."""
    place, _, section = exercise.theory.partition("#")
    folder, _, page = place.rpartition("/")
    folder = folder or exercise.package.replace("_", "-")
    there = f"{folder}/theory/{page}"
    beside = Path(str(importlib.import_module(exercise.package).__file__)).parents[3] / there
    return str(beside) if beside.exists() else f"packages/{there}", section


def shown_path(chapters: Sequence[Chapter], mine: Folder) -> RenderableType:
    """Shows all exercises in order, and where one stands."""
    progress = mine.progress
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    marks = {
        True: Text("✓", style="bold green"),
        False: Text("○", style="yellow"),
        None: Text("·", style="dim"),
    }
    for chapter in chapters:
        names = [exercise.name for exercise in chapter.exercises]
        done = sum(progress.get(name, NOTHING)["passed"] for name in names)
        table.add_row("", Text(chapter.title, style="bold"), Text(f"{done} of {len(names)}", style="dim"))
        for exercise in chapter.exercises:
            reached = progress.get(exercise.name)
            mark = marks[None if reached is None else reached["passed"]]
            table.add_row(mark, Text(f"  {exercise.name}", style="cyan"), exercise.title)
    bugs = {name: reached for name, reached in progress.items() if name.startswith("bug-")}
    if bugs:
        found = sum(reached["passed"] for reached in bugs.values())
        table.add_row("", Text("Bugs found", style="bold"), Text(f"{found} of {len(bugs)}", style="dim"))
    names = [exercise.name for chapter in chapters for exercise in chapter.exercises]
    passed = [name for name in names if progress.get(name, NOTHING)["passed"]]
    following = next((name for name in names if name not in passed), None)
    lines = [Text(f"\n{len(passed)} of {len(names)} done.", style="bold")]
    if following:
        lines.append(to_copy(f"Next: {mine.command(f'start {following}')}"))
    return Group(table, *lines)


def shown_start(task: Task, mine: Folder) -> RenderableType:
    """Shows what has been begun."""
    lines: list[RenderableType] = [Text(f"{task.name}: {task.exercise.title}", style="bold")]
    file = mine.file(task.name)
    text = file.read_text(encoding="utf-8")
    if task.bug is None:
        lines.append(shown_code(definition(text, task.exercise.path)))
        lines.append(Text(f'Write what is missing in {file} (look for "{TO_DO.strip("# -")}").'))
    else:
        lines.append(Text(f"One thing is wrong in {task.exercise.path}, in {file}."))
    check, watch = mine.command(f"check {task.name}"), mine.command("check --watch")
    lines.append(to_copy(f"Then: {check}    or, at every saving: {watch}"))
    return Group(*lines)


def shown_solution(task: Task, text: str) -> RenderableType:
    """Shows the library's own code: as a difference to what a text holds of it, if it does."""
    exercise = task.exercise
    library = definition(exercise.solution, exercise.path)
    title = Text(f"{exercise.path} in {exercise.module}", style="bold")
    mine = written_part(text, exercise)
    if not mine:
        return Group(title, shown_code(library))
    lines = difflib.unified_diff(
        mine.splitlines(), library.splitlines(), "yours", "the library's", lineterm="", n=99
    )
    difference = "\n".join(lines)
    if not difference:
        return Group(title, Text("Yours is the library's, letter by letter.", style="green"))
    return Group(title, shown_code(difference, "diff"))


def shown_code(text: str, language: str = "python") -> Syntax:
    """Shows code; a line longer than the terminal is wide goes on in the next one."""
    return Syntax(text, language, background_color="default", word_wrap=True)
