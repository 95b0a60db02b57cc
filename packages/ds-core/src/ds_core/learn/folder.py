"""A learner's folder: a file for each exercise begun, and what has been reached."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict

from ds_core.learn.course import exercise_named, exercises
from ds_core.learn.cut import definition
from ds_core.learn.exercise import Exercise
from ds_core.learn.mutants import Mutant, mutants
from ds_core.training.files import read_json, write_text

FOLDER = Path("ds-learn")
PROGRESS_FILE = "progress.json"
BUG = re.compile(r"^bug-(.+)-(\d+)$")


class Progress(TypedDict):
    """What has been reached in a task: ``passed``, how many ``tries`` and how many ``hints`` were taken."""

    passed: bool
    tries: int
    hints: int


NOTHING: Progress = {"passed": False, "tries": 0, "hints": 0}


def read_text(file: Path) -> str:
    """Returns the text of a learner's file; a byte order mark is not part of it.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: not UTF-8 text (byte {error.start})") from error


@dataclass(frozen=True)
class Task:
    """What there is to do: an exercise, or a bug to find in one.

    Args:
        exercise: which.
        bug: the number of the mistake among all that a program can make there; None for none.
    """

    exercise: Exercise
    bug: int | None = None

    @property
    def name(self) -> str:
        """Returns the name of the exercise, or ``"bug-NAME-NUMBER"``."""
        return self.exercise.name if self.bug is None else f"bug-{self.exercise.name}-{self.bug}"

    @cached_property
    def mutant(self) -> Mutant | None:
        """Returns the mistake to find.

        Raises:
            ValueError: if there is none of that number.
        """
        if self.bug is None:
            return None
        made = mutants(self.exercise.solution, self.exercise.path)
        if self.bug >= len(made):
            raise ValueError(
                f"there is no {self.name}: {self.exercise.name} has mistakes 0 to {len(made) - 1}"
            )
        return made[self.bug]

    def file(self) -> str:
        """Returns the text to begin with."""
        if self.mutant is None:
            return self.exercise.given
        return self.mutant.text.replace(
            f"Write the body of {self.exercise.path}, then run:  ds-learn check {self.exercise.name}",
            f"There is a mistake in {self.exercise.path}. Mend it, then run:  ds-learn check {self.name}",
        )


def task_named(name: str) -> Task:
    """Returns a task by its name: of an exercise, or ``"bug-NAME-NUMBER"``.

    Raises:
        ValueError: if there is none; says which are alike.
    """
    bug = BUG.fullmatch(name)
    return Task(exercise_named(bug[1]), int(bug[2])) if bug else Task(exercise_named(name))


class Folder:
    """A learner's folder.

    Args:
        path: where; made when the first file is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def command(self, words: str) -> str:
        """Returns a command about this folder, to be copied: ``"ds-learn check adam --folder mine"``."""
        option = "" if self.path == FOLDER else f" --folder {shlex.quote(self.path.as_posix())}"
        return f"ds-learn {words}{option}"

    @property
    def progress(self) -> dict[str, Progress]:
        """Returns what has been reached up to now, in whichever terminal.

        Raises:
            ValueError: if its file does not say it.
        """
        file = self.path / PROGRESS_FILE
        try:
            found = read_json(file, "a learner's progress") if file.exists() else {}
            for name, reached in found.items():
                of = reached if isinstance(reached, dict) else {}
                if any(type(of.get(key)) is not type(value) for key, value in NOTHING.items()):
                    raise ValueError(f"{file}: {name}: expected passed, tries and hints, got {reached}")
        except ValueError as error:
            raise ValueError(f"{error}; delete the file to begin anew") from error
        return found

    def passed(self) -> set[str]:
        """Returns the names of the tasks that are done."""
        return {name for name, reached in self.progress.items() if reached["passed"]}

    def reached(self, name: str) -> Progress:
        """Returns what has been reached in a task."""
        return self.progress.get(name, NOTHING)

    def file(self, name: str) -> Path:
        """Returns where a task's file is."""
        return self.path / f"{name.replace('-', '_')}.py"

    def start(self, task: Task, again: bool = False) -> Path:
        """Writes a task's file and returns its path.

        Raises:
            FileExistsError: if there is one, unless ``again``.
        """
        file = self.file(task.name)
        if file.exists() and not again:
            anew = self.command(f"start {task.name} --again")
            raise FileExistsError(f"{file} is there already; to begin anew, over what is there: {anew}")
        self.path.mkdir(parents=True, exist_ok=True)
        check = self.command(f"check {task.name}").replace("\\", "\\\\").replace('"', '\\"')  # in a docstring
        text = task.file().replace(f"ds-learn check {task.name}", check, 1)
        file.write_text(text, encoding="utf-8")
        self.note(task.name)
        return file

    def read(self, task: Task) -> str:
        """Returns what a learner has written.

        Raises:
            FileNotFoundError: if the task has not been begun.
        """
        file = self.file(task.name)
        if not file.exists():
            begin = self.command(f"start {task.name}")
            raise FileNotFoundError(f"{file} is not there yet; begin with: {begin}")
        return read_text(file)

    def begun(self) -> list[Task]:
        """Lists the tasks with a file, whoever put it there, the one changed last first.

        A file that has the name of no task is another matter.
        """
        known = {exercise.name for exercise in exercises()}
        files = sorted(
            self.path.glob("*.py"), key=lambda file: (file.stat().st_mtime, file.name), reverse=True
        )
        names = [file.stem.replace("_", "-") for file in files if file.is_file()]
        return [task_named(name) for name in names if BUG.sub(r"\1", name) in known]

    def note(self, name: str, **changes: Any) -> None:
        """Remembers what has been reached; numbers are added to what was there."""
        progress = self.progress
        now: Any = progress.setdefault(name, NOTHING.copy())
        for key, value in changes.items():
            now[key] = value if isinstance(value, bool) else now[key] + value
        self.path.mkdir(parents=True, exist_ok=True)
        write_text(self.path / PROGRESS_FILE, json.dumps(progress, indent=2) + "\n")


def written_part(text: str, exercise: Exercise) -> str:
    """Returns what a learner has written of a file: the definition whose body was open; empty without one."""
    try:
        return definition(text, exercise.path)
    except (SyntaxError, ValueError):
        return ""
