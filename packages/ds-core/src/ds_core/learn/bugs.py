"""Find the bug: mistakes that the referees see, graded by how much their report gives away."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from ds_core.learn.exercise import Exercise
from ds_core.learn.judge import Verdict, killed
from ds_core.learn.mutants import mutants

# How a report goes on where it names a cause; that so many numbers are wrong is none.
_CAUSE = re.compile(
    r": (its? |the (sign|gradient|numbers) |all its |each entry |\d+ of \d+ numbers (?!are wrong))"
)


class Bug(NamedTuple):
    """A mistake that the referees see.

    Attributes:
        exercise: in which.
        number: among all mistakes that a program makes there.
        verdict: what the referees say.
    """

    exercise: Exercise
    number: int
    verdict: Verdict


def level_of(verdict: Verdict) -> int:
    """Grades a bug: 1, the report names the cause; 2, it names the place; 3, numbers are wrong, no more."""
    texts = [what for _, what in verdict.problems]
    if any(map(_CAUSE.search, texts)):
        return 1
    wrong = {about for about, _ in verdict.problems}
    if len(verdict.rows) > len(wrong) + 1 or any(text.startswith("line ") for text in texts):
        return 2
    return 3


def draw(pool: Sequence[Exercise], chance: random.Random, level: int | None) -> Bug:
    """Draws a bug.

    Args:
        pool: exercises to choose from.
        chance: what chooses.
        level: 1, 2 or 3; None for any.

    Raises:
        ValueError: if there is none of that level.
    """
    if level not in (None, 1, 2, 3):
        raise ValueError(f"--level: expected 1, 2 or 3, got {level}")
    for exercise in chance.sample(list(pool), len(pool)):
        made = mutants(exercise.solution, exercise.path)
        for number in chance.sample(range(len(made)), len(made)):
            verdict = killed(exercise, made[number])
            if verdict is not None and level in (None, level_of(verdict)):
                return Bug(exercise, number, verdict)
    raise ValueError(f"there is no bug of level {level} in {', '.join(one.name for one in pool)}")
