"""Datasets of the package `datasets`, by name from the Hugging Face hub or from a local folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ds_core.checks import shape
from ds_core.data.dataset import Dataset
from ds_core.data.image_folder import as_pixels
from ds_core.data.optional import needed
from ds_core.data.table import (
    Missing,
    Table,
    TextAs,
    as_dataset,
    check_names,
    encode_target,
    is_gap,
    settle_missing,
)


def load_hugging_face(
    name: str,
    *,
    split: str | None = None,
    config: str | None = None,
    target: str | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    missing: Missing = "error",
    text: TextAs | Mapping[str, TextAs] = "error",
    classes: bool | None = None,
    size: int | tuple[int, int] | None = None,
    mode: Literal["RGB", "L"] = "RGB",
) -> Dataset:
    """Loads a dataset of the package `datasets` as tensors, all of it into memory.

    Number and text columns become a table, as in a CSV file. A column of images or of arrays, alone, becomes
    x as it is. What is larger than memory goes into a :class:`DataLoader` as it is.

    Args:
        name: a name on the hub, or a folder written by ``save_to_disk``.
        split: which part, "train" say; None if there is only one.
        config: which of a dataset's configurations.
        target: the column to predict, see :func:`load_csv`; a column of class labels keeps its names.
        columns: the features, see :func:`load_csv`.
        missing: what to do about gaps, None or NaN, see :func:`load_csv`.
        text: what to do about columns of texts, see :func:`load_csv`.
        classes: whether the target is class labels, see :func:`load_csv`.
        size: of images, see :func:`load_image_folder`.
        mode: of images, see :func:`load_image_folder`.

    Raises:
        ValueError: if the dataset cannot be had, or a split or column is unknown or unfit; lists those there
            are.
        ImportError: if the package `datasets` is missing.
    """
    library = needed("datasets", "datasets", "load('hf:...')")
    source = f"hf:{name}" + (f" [{split}]" if split else "")
    data = _choose(_open(library, name, config), split, source)
    known = dict.fromkeys(data.column_names)
    targets = [target] if isinstance(target, str) else list(target or ())
    check_names(targets, known, f"{source}: target")
    features = [column for column in known if column not in targets]
    if columns is not None:
        features = [columns] if isinstance(columns, str) else list(columns)
        check_names(features, known, f"{source}: columns")
    kinds = data.features
    arrays = [f for f in features if not isinstance(kinds[f], (library.Value, library.ClassLabel))]
    if arrays and len(features) > 1:
        raise ValueError(
            f"{source}: column {arrays[0]!r} holds images or arrays, which make up x alone; pass "
            f"columns=[{arrays[0]!r}]. The columns are {', '.join(known)}"
        )
    used = [*features, *targets]
    table = Table(
        {column: _values(data, column, isinstance(kinds[column], library.Image), source) for column in used},
        source,
        lambda row: f"row {row}",
        {c: list(kinds[c].names) for c in used if isinstance(kinds[c], library.ClassLabel)},
    )
    for column, values in table.columns.items():
        unlabelled = -1 if column in table.class_names else None  # how `datasets` marks a missing label
        table.columns[column] = [None if is_gap(v) or v == unlabelled else v for v in values]
    if not arrays:
        return as_dataset(table, target=target, columns=features, missing=missing, text=text, classes=classes)
    if missing in ("mean", "median"):
        raise ValueError(f"{source}: images and arrays are not made up: pass missing='drop'")
    table = settle_missing(table, used, targets, missing)
    values = table.columns[arrays[0]]
    if isinstance(kinds[arrays[0]], library.Image):
        x = _images(table, values, mode, size)
    else:
        x = _arrays(table, values, arrays[0])
    y, class_names = encode_target(table, target, classes)
    return Dataset(x, y, [], class_names, source, table.notes)


def _open(library: Any, name: str, config: str | None) -> Any:
    folder = Path(name)
    try:
        if any((folder / file).is_file() for file in ("state.json", "dataset_dict.json")):
            return library.load_from_disk(name)
        return library.load_dataset(name, config)
    except Exception as error:  # a library's many kinds: network, name, format, configuration
        raise ValueError(f"hf:{name}: cannot be loaded: {error}") from error


def _choose(data: Any, split: str | None, source: str) -> Any:
    """Returns one split of a dataset."""
    if not isinstance(data, Mapping):
        if split is not None:
            raise ValueError(f"{source}: has no splits; leave split out")
        return data
    if split is None and len(data) == 1:
        return next(iter(data.values()))
    if split not in data:
        raise ValueError(f"{source}: expected split to be one of {', '.join(data)}, got {split!r}")
    return data[split]


def _values(data: Any, column: str, images: bool, source: str) -> list[Any]:
    data = data.select_columns([column])
    if not images:
        return list(data[:][column])
    values = []
    for row in range(len(data)):  # one by one, to say which of them cannot be decoded
        try:
            values.append(data[row][column])
        except (OSError, ValueError, SyntaxError) as error:
            raise ValueError(f"{source}, row {row}: cannot be read as an image ({error})") from error
    return values


def _images(table: Table, values: list[Any], mode: str, size: int | tuple[int, int] | None) -> Tensor:
    pixels: list[Tensor] = []
    for row, image in enumerate(values):
        try:
            pixels.append(as_pixels(image, mode, size))
        except (OSError, ValueError, SyntaxError) as error:
            raise ValueError(f"{table.source}, {table.where(row)}: bad image ({error})") from error
        if pixels[-1].shape != pixels[0].shape:
            raise ValueError(
                f"{table.source}, {table.where(row)}: expected an image like the first one, "
                f"{shape(pixels[0])}, got {shape(pixels[-1])}; pass size=(height, width) to resize all"
            )
    return torch.stack(pixels).float().div_(255)


def _arrays(table: Table, values: list[Any], name: str) -> Tensor:
    try:
        x = torch.tensor(values, dtype=torch.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{table.source}: expected arrays of numbers of one shape in column {name!r} ({error})"
        ) from error
    return x
