"""load: data by a short name, whatever they are."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ds_core.data.csv import load_csv
from ds_core.data.dataset import Dataset
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


def load(spec: str, **options: Any) -> Dataset:
    """Loads data as tensors; nothing is dropped, filled or encoded without being asked for and noted.

    Args:
        spec: one of
            ``"csv:FILE"``, see :func:`load_csv`;
            ``"hf:NAME"`` or ``"hf:FOLDER"``, see :func:`load_hugging_face`;
            ``"idx:FOLDER"`` or ``"idx:FILE"``, see :func:`load_idx`;
            ``"imagefolder:FOLDER"``, see :func:`load_image_folder`;
            ``"sklearn:NAME"``, see :func:`load_sklearn`.
        options: those of the function named there.

    Raises:
        ValueError: if the kind is unknown; lists those known.
        TypeError: if a kind does not have such an option; lists those it has.

    Example:
        >>> iris = load("sklearn:iris")
        >>> housing = load("csv:housing.csv", target="price", columns=["rooms", "age"], missing="drop")
    """
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
    source = SOURCES[kind]
    accepted = [name for name, p in inspect.signature(source).parameters.items() if p.kind == p.KEYWORD_ONLY]
    for name in options:
        if name not in accepted:
            raise TypeError(f"load('{kind}:...'): no option {name!r}; it has {', '.join(accepted)}")
    return source(what, **options)
