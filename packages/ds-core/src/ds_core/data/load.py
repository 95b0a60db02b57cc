"""load: data by a short name, whatever they are."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ds_core.data.csv import load_csv
from ds_core.data.dataset import Dataset
from ds_core.data.frame import load_frame
from ds_core.data.hugging_face import load_hugging_face
from ds_core.data.idx import load_idx
from ds_core.data.image_folder import load_image_folder
from ds_core.data.scikit_learn import load_sklearn

SOURCES: dict[str, Callable[..., Dataset]] = {
    "csv": load_csv,
    "hf": load_hugging_face,
    "idx": load_idx,
    "imagefolder": load_image_folder,
    "sklearn": load_sklearn,
}


def load(spec: Any, **options: Any) -> Dataset:
    """Loads data as tensors; nothing is dropped, filled or encoded without being asked for and noted.

    Args:
        spec: one of
            ``"csv:FILE"``, see :func:`load_csv`;
            ``"hf:NAME"`` or ``"hf:FOLDER"``, see :func:`load_hugging_face`;
            ``"idx:FOLDER"`` or ``"idx:FILE"``, see :func:`load_idx`;
            ``"imagefolder:FOLDER"``, see :func:`load_image_folder`;
            ``"sklearn:NAME"``, see :func:`load_sklearn`;
            or a ``datasets.Dataset``, see :func:`load_hugging_face`, or a DataFrame of pandas, see
            :func:`load_frame`.
        options: those of the function named there.

    Raises:
        ValueError: if the kind is unknown; lists those known.
        TypeError: if a kind does not have such an option; lists those it has; or if ``spec`` is neither.

    Example:
        >>> iris = load("sklearn:iris")
        >>> housing = load("csv:housing.csv", target="price", columns=["rooms", "age"], missing="drop")
    """
    if not isinstance(spec, str):
        return _of_object(spec, options)
    kind, colon, what = spec.partition(":")
    if kind not in SOURCES or not what:
        hint = ""
        if not colon and Path(spec).is_file():
            hint = f"; for a file write 'csv:{spec}' or 'idx:{spec}'"
        elif not colon and Path(spec).is_dir():
            hint = f"; for a folder write 'imagefolder:{spec}', 'idx:{spec}' or 'hf:{spec}'"
        elif kind not in SOURCES and (close := difflib.get_close_matches(kind.lower(), SOURCES, 1)):
            hint = f"; did you mean '{close[0]}:{what}'?"
        raise ValueError(
            f"load: expected 'KIND:WHAT' with KIND one of {', '.join(SOURCES)}, got {spec!r}{hint}"
        )
    return _called(SOURCES[kind], f"load('{kind}:...')", what, options)


def _of_object(data: Any, options: dict[str, Any]) -> Dataset:
    """Loads what a program has already."""
    name = f"load({type(data).__name__})"
    if hasattr(data, "column_names") or isinstance(data, Mapping):
        return _called(load_hugging_face, name, data, options)
    if hasattr(data, "columns") and hasattr(data, "to_dict"):
        return _called(load_frame, name, data, options)
    raise TypeError(
        f"load: expected 'KIND:WHAT' with KIND one of {', '.join(SOURCES)}, a datasets.Dataset or a "
        f"DataFrame of pandas, got {type(data).__name__}"
    )


def _called(source: Callable[..., Dataset], name: str, what: Any, options: dict[str, Any]) -> Dataset:
    """Calls what loads a kind of data with its options.

    Raises:
        TypeError: if it has no such option; lists those it has.
    """
    accepted = [word for word, p in inspect.signature(source).parameters.items() if p.kind == p.KEYWORD_ONLY]
    for option in options:
        if option not in accepted:
            raise TypeError(f"{name}: no option {option!r}; it has {', '.join(accepted)}")
    return source(what, **options)
