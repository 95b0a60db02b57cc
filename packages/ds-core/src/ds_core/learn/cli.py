"""The command line ``ds-learn``."""

from __future__ import annotations

import json
import random
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

import ds_core
from ds_core.cli import clear_errors, new_command_line
from ds_core.cli.commands import plain_command
from ds_core.learn.course import chapters, exercises
from ds_core.learn.folder import FOLDER, Folder, Task, read_text, task_named
from ds_core.learn.judge import Verdict
from ds_core.learn.process import Limits, judge_apart

if TYPE_CHECKING:
    from typer import Typer


def show_path(*, folder: Path = FOLDER) -> None:
    """Show all exercises in order, and where you stand.

    Args:
        folder: where your files are.
    """
    from ds_core.learn.show import shown_path

    _print(shown_path(chapters(), Folder(folder)))


def start(exercise: str | None = None, *, folder: Path = FOLDER, again: bool = False) -> None:
    """Write the file of an exercise: real source with one body left open.

    Args:
        exercise: its name; the next one if not given.
        folder: where your files are.
        again: begin anew, over what is there.
    """
    from ds_core.learn.show import shown_start

    mine = Folder(folder)
    if exercise is None:
        done = mine.passed()
        left = [one.name for one in exercises() if one.name not in done]
        if not left:
            raise ValueError(f"every exercise is done; there are bugs to find: {mine.command('bug')}")
        exercise, begun = left[0], mine.file(left[0]).exists() and not again
    else:
        begun = False  # by its name: an error says that it is there
    task = task_named(exercise)
    if not begun:
        mine.start(task, again)
    _print(shown_start(task, mine))


def check(
    exercise: str | None = None,
    *,
    folder: Path = FOLDER,
    all_: bool = False,
    watch: bool = False,
    json_: bool = False,
    seconds: int = 20,
    memory: int = 2048,
) -> None:
    """Mark what you wrote.

    Args:
        exercise: its name; the file changed last if not given.
        folder: where your files are.
        all_: every file in the folder.
        watch: mark it again whenever a file is saved.
        json_: print the verdicts as JSON.
        seconds: of a processor that your code may take.
        memory: in MiB that it may take.
    """
    if all_ and exercise is not None:
        raise ValueError(f"expected an exercise by its name or --all, got both: {exercise} --all")
    if watch and (all_ or json_):
        raise ValueError("--watch shows the file that is saved: expected it without --all and without --json")
    mine, limits = Folder(folder), Limits(seconds, memory)
    tasks = _tasks(mine, exercise, all_)
    if watch:
        _watch(mine, exercise, limits)
        return
    verdicts = [_mark(mine, task, limits, quiet=json_) for task in tasks]
    if json_:
        print(json.dumps([_record(mine, *pair) for pair in zip(tasks, verdicts, strict=True)], indent=2))
    if not all(verdict.passed for verdict in verdicts):
        raise SystemExit(1)


def hint(exercise: str | None = None, *, folder: Path = FOLDER, step: int | None = None) -> None:
    """Give the next hint: shapes, the formula, where it is derived.

    Args:
        exercise: its name; that of the file changed last if not given.
        folder: where your files are.
        step: which hint, 1 to 3; the next one if not given.
    """
    from ds_core.learn.mutants import advice
    from ds_core.learn.show import shown_hint

    mine = Folder(folder)
    (task,) = _tasks(mine, exercise, False)
    taken = mine.reached(task.name)["hints"]
    which = min(taken + 1, 3) if step is None else step
    if task.mutant is not None and which == 1:
        _print(advice(task.mutant.kind))
    else:
        _print(shown_hint(task.exercise, which))
    if step is None and taken < 3:
        mine.note(task.name, hints=1)


def solution(exercise: str | None = None, *, folder: Path = FOLDER) -> None:
    """Show the library's own code: as a difference to yours once yours passes.

    Args:
        exercise: its name; that of the file changed last if not given.
        folder: where your files are.
    """
    from ds_core.learn.show import shown_solution

    mine = Folder(folder)
    (task,) = _tasks(mine, exercise, False)
    compared = mine.reached(task.name)["passed"] and mine.file(task.name).exists()
    _print(shown_solution(task, mine.read(task) if compared else ""))


def bug(
    exercise: str | None = None, *, folder: Path = FOLDER, level: int | None = None, seed: int | None = None
) -> None:
    """Write a file with a bug to find: real source in which one small thing is wrong.

    Args:
        exercise: in which; any of those done if not given, or any at all if none is done.
        folder: where your files are.
        level: 1, the report names the cause; 2, it names the place; 3, it shows wrong numbers.
        seed: of the choice; another bug at every call if not given.
    """
    from ds_core.learn.bugs import draw
    from ds_core.learn.show import shown_start, shown_verdict

    mine = Folder(folder)
    names = mine.passed()
    done = [one for one in exercises() if one.name in names]
    pool = [task_named(exercise).exercise] if exercise else done or exercises()
    chance = random.Random(seed)
    found = draw(pool, chance, level)
    task = Task(found.exercise, found.number)
    mine.start(task)
    _print(shown_start(task, mine))
    _print(shown_verdict(found.verdict, task.exercise, task.name, mine))


def layer(file: Path, call: str, *, input: list[str], seconds: int = 20, memory: int = 2048) -> None:
    """Mark a layer of your own: its backward before two referees, and what its forward executes.

    Args:
        file: the Python file that defines it.
        call: what builds it, "Scale(3)".
        input: the shape of an input, "4x3"; once for each.
        seconds: of a processor that your code may take.
        memory: in MiB that it may take.
    """
    from ds_core.learn.show import shown_verdict

    shapes = []
    for text in input:
        sizes = [size.strip() for size in text.replace(",", "x").split("x") if size]
        if not all(size.isdecimal() and int(size) for size in sizes):  # of nothing every gradient is right
            raise ValueError(f'--input: expected the sizes of a tensor, as "4x3", each above 0, got {text!r}')
        shapes.append([int(size) for size in sizes])
    verdict = judge_apart(call, read_text(file), Limits(seconds, memory), fork=True, inputs=shapes)
    _print(shown_verdict(verdict, None))
    if not verdict.passed:
        raise SystemExit(1)


def table(*, match: str = "", messages: bool = False) -> None:
    """Check the course itself: the library's own code passes, an open body and mistakes do not.

    Args:
        match: only exercises with this in their name.
        messages: print what a learner is told about the mistakes.
    """
    from ds_core.learn.table import print_table

    chosen = [one for one in exercises() if match in one.name]
    if not chosen:
        raise ValueError(f"--match: there is no exercise with {match!r} in its name")
    if not print_table(chosen, messages):
        raise SystemExit(1)


def play(*, port: int = 0, open_browser: bool = True) -> None:
    """Open the playground: a network that learns in two dimensions, for you to pause and to break.

    Args:
        port: of this machine's own address; 0 for any that is free.
        open_browser: whether the page is opened; its address is printed in any case.
    """
    from ds_core.learn.play.server import play as serve

    serve(port, open_browser=open_browser)


def _tasks(mine: Folder, exercise: str | None, everything: bool) -> list[Task]:
    """Returns what is meant: an exercise by its name, every file, or the file changed last."""
    if exercise is not None:
        return [task_named(exercise)]
    begun = mine.begun()
    if not begun:
        raise ValueError(f"{mine.path} holds no exercise yet; begin with: {mine.command('start')}")
    return begun if everything else begun[:1]


def _mark(mine: Folder, task: Task, limits: Limits, quiet: bool) -> Verdict:
    """Marks a task's file, notes the outcome and shows it."""
    from ds_core.learn.show import shown_verdict

    before = mine.reached(task.name)["passed"]
    try:
        verdict = judge_apart(
            task.exercise.name, mine.read(task), limits, fork=True, explain=task.bug is None
        )
    except ValueError as error:  # no text: a verdict, too, and the other files have theirs
        verdict = Verdict(task.exercise.name, problems=[(task.exercise.path, str(error))])
    anew, here = f"ds-learn start {task.exercise.name} --again", mine.command(f"start {task.name} --again")
    verdict.problems = [(about, what.replace(anew, here)) for about, what in verdict.problems]
    try:
        mine.note(task.name, tries=1, passed=before or verdict.passed)
    except OSError as error:  # a folder that may only be read: what counts is the verdict
        warnings.warn(f"this try is not remembered: {error}", stacklevel=2)
    if not quiet:
        _print(shown_verdict(verdict, task.exercise, task.name, mine))
        if verdict.passed:
            beside, following = mine.command(f"solution {task.name}"), mine.command("start")
            _print(f"    Beside the library's own: {beside}    Next: {following}", style="dim")
    return verdict


def _record(mine: Folder, task: Task, verdict: Verdict) -> dict[str, Any]:
    """Returns what a grading script wants to know."""
    said = {"problems": verdict.problems, "looks_like": verdict.looks_like}
    reached = mine.reached(task.name)
    return {"exercise": task.name, "passed": verdict.passed, "written": verdict.written, **said} | {
        "tries": reached["tries"],
        "hints": reached["hints"],
    }


def _watch(mine: Folder, exercise: str | None, limits: Limits) -> None:
    """Marks a file whenever it is saved, until it is interrupted."""
    seen: tuple[str, int] | None = None
    try:
        while True:
            (task,) = _tasks(mine, exercise, False)
            file = mine.file(task.name)
            # An editor may put the file aside for a moment while it saves.
            now = (task.name, file.stat().st_mtime_ns) if file.exists() else seen
            if now != seen or seen is None:
                seen = now
                Console().clear()
                _mark(mine, task, limits, quiet=False)
                _print(f"    Waiting for {file} to be saved; Ctrl+C ends.", style="dim")
            time.sleep(0.3)
    except KeyboardInterrupt:
        return


def _print(content: Any, style: str | None = None) -> None:
    console = Console(emoji=False, highlight=False, width=None if sys.stdout.isatty() else 110)
    console.print(content, style=style, markup=False, soft_wrap=isinstance(content, str), crop=False)


COMMANDS: dict[str, Callable[..., None]] = {
    "list": show_path,
    "start": start,
    "check": check,
    "hint": hint,
    "solution": solution,
    "bug": bug,
    "layer": layer,
    "table": table,
    "play": play,
}


def command_line() -> Typer:
    """Makes the command line; :func:`main` runs it."""
    about = "Write the gradients yourself: exercises cut out of the real source, marked by the referees."
    made = {name: (lambda name=name, run=run: plain_command(run, name)) for name, run in COMMANDS.items()}
    return new_command_line("ds-learn", ds_core.__version__, about, made)


def main() -> None:
    """Runs ``ds-learn``."""
    with clear_errors():
        app = command_line()
    app()
