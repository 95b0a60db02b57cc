"""The course that marks itself: exercises cut out of the real source, marked by the referees.

In a terminal: ``ds-learn``. In a notebook:

    >>> from ds_core import learn
    >>> print(learn.start("linear-backward"))  # the file with one body left open
    >>> learn.check("linear-backward", linear_backward)  # the function as a cell defines it
"""

from ds_core.learn.course import chapters, exercise_named, exercises
from ds_core.learn.exercise import Chapter, Exercise, Layer, Pair, Results
from ds_core.learn.notebook import check, hint, solution, start

__all__ = [
    "Chapter",
    "Exercise",
    "Layer",
    "Pair",
    "Results",
    "chapters",
    "check",
    "exercise_named",
    "exercises",
    "hint",
    "solution",
    "start",
]
