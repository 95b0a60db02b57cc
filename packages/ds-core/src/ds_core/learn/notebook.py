"""The course in a notebook: the same exercises, with the code in a cell."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from rich.console import RenderableType

from ds_core.learn import cut
from ds_core.learn.course import exercise_named
from ds_core.learn.process import Limits, judge_apart
from ds_core.learn.show import shown_code, shown_hint, shown_verdict
from ds_core.verify.report import Printed


class Shown(Printed):
    """What a notebook shows."""

    def __init__(self, content: RenderableType, passed: bool | None = None) -> None:
        self.content = content
        self.passed = passed

    def __rich__(self) -> RenderableType:
        return self.content


def start(name: str) -> str:
    """Returns the text of an exercise with one body left open, to be copied into a cell."""
    return exercise_named(name).given


def check(name: str, code: str | Callable[..., Any], limits: Limits | None = None) -> Shown:
    """Marks what a cell defines.

    Args:
        name: of the exercise.
        code: the whole file as text; or the function alone, or the class of a method, as a cell defines it.
        limits: of time and memory.

    Returns:
        What to show; ``passed`` says whether all is right.

    Raises:
        ValueError: if Python does not know the text of a function, as of one typed at its prompt, or it has
            another name than the exercise's.
    """
    exercise = exercise_named(name)
    if not isinstance(code, str):
        path = exercise.path.split(".")[0] if inspect.isclass(code) else exercise.path
        text = _source(code)
        if code.__name__ != path.split(".")[-1]:
            raise ValueError(f"learn.check: {name} is about {path}, got {code.__name__}: give it that name")
        code = cut.put(exercise.given, path, text)
    verdict = judge_apart(name, code, limits or Limits())
    return Shown(shown_verdict(verdict, exercise), verdict.passed)


def hint(name: str, step: int = 1) -> Shown:
    """Returns a hint: 1 shapes, 2 the formula, 3 where it is derived."""
    return Shown(shown_hint(exercise_named(name), step))


def solution(name: str) -> Shown:
    """Returns the library's own code."""
    exercise = exercise_named(name)
    return Shown(shown_code(cut.definition(exercise.solution, exercise.path)))


def _source(code: Callable[..., Any]) -> str:
    """Returns the text of a function or class."""
    try:
        return textwrap.dedent(inspect.getsource(code))
    except (OSError, TypeError) as error:
        raise ValueError(
            "learn.check: expected a function or class from a notebook's cell or a file, or text, "
            f"got {code!r}, whose text Python does not know"
        ) from error
