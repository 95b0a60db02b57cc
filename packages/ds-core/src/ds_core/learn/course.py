"""The course: the chapters of all packages that are installed, in order."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from pathlib import PurePath

from ds_core.learn.exercise import Chapter, Exercise

GROUP = "ds_core.learn"  # entry points of a package's chapters: "cnn" = "ds_cnn.learn"


@cache
def chapters() -> tuple[Chapter, ...]:
    """Returns the chapters of every package with a module of exercises, in the order of their numbers.

    A package says in its metadata where they are: an entry point of the group ``ds_core.learn``. One that
    lies on the path without metadata, as in a checkout, is found by its module ``learn``.

    Raises:
        ValueError: if two exercises have one name.
    """
    named = {point.value for point in entry_points(group=GROUP)}
    beside = {f"{found.name}.learn" for found in pkgutil.iter_modules() if found.name.startswith("ds_")}
    beside.discard("ds_core.learn")
    modules = {"ds_core.learn.exercises"}
    for name in named | beside:
        if name in named or importlib.util.find_spec(name) is not None:
            modules.add(name)
    found: list[Chapter] = []
    for name in modules:
        found += importlib.import_module(name).CHAPTERS
    names = [exercise.name for chapter in found for exercise in chapter.exercises]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(
            f"ds-learn: expected every exercise to have a name of its own, got {', '.join(twice)} twice"
        )
    return tuple(sorted(found, key=lambda chapter: chapter.number))


def exercises() -> list[Exercise]:
    """Lists all exercises in order."""
    return [exercise for chapter in chapters() for exercise in chapter.exercises]


def exercise_named(name: str) -> Exercise:
    """Returns an exercise.

    Raises:
        ValueError: if there is none of that name; says which are alike.
    """
    known = {exercise.name: exercise for exercise in exercises()}
    if name not in known:
        words = {*PurePath(name).stem.lower().replace("_", "-").split("-")}  # it may be the file's name
        shared = {one: len(words & {*one.split("-")}) for one in known}
        alike = sorted(filter(shared.get, known), key=lambda one: -shared[one])
        more = f"; did you mean {' or '.join(alike[:4])}?" if alike else "; `ds-learn list` shows all"
        raise ValueError(f"there is no exercise {name!r}{more}")
    return known[name]
