"""Recipes: how a model is trained, as a frozen dataclass of plain fields, and as a TOML file beside a run.

A field is a whole number, a number, a word, one of some words, a flag, or nothing. A file
leaves out a field that is None, so only a field whose default is None may be None.
"""

from __future__ import annotations

import tomllib
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ds_core.data.optional import needed

RECIPE_FILE = "recipe.toml"

Recipe = TypeVar("Recipe")


def field_kinds(recipe: type[Any]) -> dict[str, tuple[Any, bool]]:
    """Returns name -> type and whether None is one of its values, of each field of a recipe.

    The type is int, float, str, bool, or a ``Literal`` of words.
    """
    kinds = {}
    hints = get_type_hints(recipe)
    for field in fields(recipe):
        hint = hints[field.name]
        optional = get_origin(hint) in (Union, types.UnionType)
        if optional:
            (hint,) = (one for one in get_args(hint) if one is not type(None))
        kinds[field.name] = hint, optional
    return kinds


def make_recipe(recipe: type[Recipe], given: Mapping[str, Any], where: str) -> Recipe:
    """Makes a recipe of fields by name; what is not given has its default.

    Args:
        recipe: the dataclass.
        given: name -> value.
        where: they come from, as errors call it.

    Raises:
        ValueError: if a name is unknown, a value is of another type, or a field without default is missing.
    """
    kinds = field_kinds(recipe)
    values = {}
    for name, value in given.items():
        if name not in kinds:
            raise ValueError(f"{where}: unknown setting {name!r}; expected one of {', '.join(kinds)}")
        values[name] = _checked(value, *kinds[name], f"{where}: {name}")
    for field in fields(recipe):  # type: ignore[arg-type]
        if field.name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{where}: {field.name} is missing; it has no default")
    return recipe(**values)


def _checked(value: Any, kind: Any, optional: bool, where: str) -> Any:
    if value is None and optional:
        return None
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(f"{where}: expected {' or '.join(map(repr, get_args(kind)))}, got {value!r}")
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{where}: expected {kind.__name__}, got {value!r}")
    return value


def recipe_text(model: str, recipe: Any, comment: str = "") -> str:
    """Writes a recipe as TOML, the model's name first.

    Args:
        model: what is trained.
        recipe: the dataclass.
        comment: lines at the top, for people.

    Raises:
        ImportError: if the package `tomlkit` is missing.
    """
    tomlkit = needed("tomlkit", "tomlkit", "a run folder", extra="cli")
    document = tomlkit.document()
    for line in comment.splitlines():
        document.add(tomlkit.comment(line))
    document.add("model", model)
    for field in fields(recipe):
        value = getattr(recipe, field.name)
        if value is not None:
            document.add(field.name, value)
        elif field.default is not None:
            raise ValueError(f"recipe: expected a value for {field.name}, got None, which TOML cannot say")
    text: str = tomlkit.dumps(document)
    return text


def read_recipe_text(text: str, where: str) -> dict[str, Any]:
    """Returns the fields of a recipe in TOML, ``model`` among them.

    Raises:
        ValueError: if it is not TOML, or has tables; names ``where`` it is from.
    """
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{where}: not a recipe ({error})") from error
    tables = [name for name, value in found.items() if isinstance(value, dict)]
    if tables:
        raise ValueError(f"{where}: not a recipe: expected lines 'name = value', got a table [{tables[0]}]")
    return found


def read_recipe(path: str | Path) -> dict[str, Any]:
    """Returns the fields of a recipe's file, ``model`` among them.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a recipe; names it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: " + ("is a folder" if path.is_dir() else "no such file"))
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a recipe: not UTF-8 text (byte {error.start})") from error
    return read_recipe_text(text, str(path))
