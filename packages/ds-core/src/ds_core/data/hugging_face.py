"""Datasets of the package `datasets`, by name from the Hugging Face hub or from a local folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ds_core.checks import shape
from ds_core.data.dataset import Dataset
from ds_core.data.optional import needed
from ds_core.data.read_image import check_image_options, read_image
from ds_core.data.table import (
    Missing,
    Table,
    TextAs,
    as_dataset,
    check_names,
    encode_target,
    is_gap,
    names_of,
    rounding,
    settle_missing,
)

_FIRST_WITHOUT_SCRIPTS = 4
_SAVED = ("state.json", "dataset_dict.json")  # what save_to_disk writes


def load_hugging_face(
    name: Any,
    *,
    split: str | None = None,
    config: str | None = None,
    data_files: str | Sequence[str] | Mapping[str, Any] | None = None,
    target: str | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    missing: Missing = "error",
    text: TextAs | Mapping[str, TextAs] = "error",
    classes: bool | None = None,
    size: int | tuple[int, int] | None = None,
    mode: Literal["RGB", "L"] = "RGB",
    bad: Literal["error", "skip"] = "error",
) -> Dataset:
    """Loads a dataset of the package `datasets` as tensors, all of it into memory.

    Number and text columns become a table, as in a CSV file. A column of images or of arrays, alone, becomes
    x as it is. What is larger than memory goes into a :class:`DataLoader` as it is.

    Args:
        name: a name on the hub, a folder written by ``save_to_disk``, or a ``datasets.Dataset``; with
            ``data_files`` the kind of files: "csv", "json", "parquet".
        split: which part, "train" say; None if there is only one.
        config: which of a dataset's configurations.
        data_files: files to read; a dict names the split of each.
        target: the column to predict, see :func:`load_csv`; a column of class labels keeps its names.
        columns: the features, see :func:`load_csv`.
        missing: what to do about gaps, None or NaN, see :func:`load_csv`.
        text: what to do about columns of texts, see :func:`load_csv`.
        classes: whether the target is class labels, see :func:`load_csv`.
        size: of images, see :func:`load_image_folder`.
        mode: of images, see :func:`load_image_folder`.
        bad: what to do about a row whose image cannot be read: "error", or "skip" it, with a note.

    Raises:
        ValueError: if the dataset cannot be had, or a split or column is unknown or unfit; lists those there
            are.
        ImportError: if the package `datasets` is missing or older than version 4.
    """
    check_image_options(mode, size, bad)
    data, source = open_hugging_face(name, split, config, data_files=data_files)
    library = needed("datasets", "datasets", "load('hf:...')")
    known = dict.fromkeys(data.column_names)
    targets = names_of(() if target is None else target, f"{source}: target")
    check_names(targets, known, f"{source}: target")
    features = [column for column in known if column not in targets]
    if columns is not None:
        features = names_of(columns, f"{source}: columns")
        check_names(features, known, f"{source}: columns")
    kinds = data.features
    arrays = [f for f in features if not isinstance(kinds[f], (library.Value, library.ClassLabel))]
    if arrays and len(features) > 1:
        raise ValueError(
            f"{source}: column {arrays[0]!r} holds images or arrays, which make up x alone; pass "
            f"columns=[{arrays[0]!r}]. The columns are {', '.join(known)}"
        )
    used = [*features, *targets]
    image = next((column for column in arrays if isinstance(kinds[column], library.Image)), None)
    read = {column: read_column(data, column, source) for column in used if column != image}
    unreadable: list[int] = []
    if image is not None:
        read[image], unreadable = _read_images(data, image, mode, size, bad, source)
    table = Table(
        read,
        source,
        lambda row: f"row {row}",
        {c: list(kinds[c].names) for c in used if isinstance(kinds[c], library.ClassLabel)},
    )
    if unreadable:
        skipped = f"rows whose image cannot be read: {', '.join(map(str, unreadable))}"
        left_out = set(unreadable)
        table = table.keep([row for row in range(len(data)) if row not in left_out])
        if not table.columns[used[0]]:
            raise ValueError(f"{source}: expected images, got only {skipped}")
        table.notes.append(f"skipped {len(unreadable):,} {skipped}")
    for column, values in table.columns.items():
        unlabelled = -1 if column in table.class_names else None  # how `datasets` marks a missing label
        table.columns[column] = [None if is_gap(v) or v == unlabelled else v for v in values]
    if not arrays:
        return as_dataset(table, target=target, columns=features, missing=missing, text=text, classes=classes)
    if missing in ("mean", "median"):
        raise ValueError(f"{source}: images and arrays are not made up: pass missing='drop'")
    table = settle_missing(table, used, targets, missing)
    x = _arrays(table, arrays[0]) if image is None else _stacked(table, image)
    y, class_names = encode_target(table, target, classes)
    return Dataset(x, y, [], class_names, source, table.notes)


class HuggingFaceImages:
    """Images of a dataset of the package `datasets` and their labels, decoded only when they are asked for.

    It goes into a :class:`DataLoader` as it is: its files may be far more than memory.

    Args:
        name: a name on the hub, or a folder.
        split: which part, "train" say; None if there is only one.
        image: the column of images; None for the only one.
        label: the column of class labels, or of whole numbers from 0 on; None for the only one.
        size: (height, width) to which every image is resized, or one number for both; None for its own.
        mode: "RGB" for three channels, "L" for one of grey.

    Attributes:
        labels: the class of each image.
        class_names: the names of the classes; None if unknown.
        source: what messages call it.

    Raises:
        ValueError: if the dataset cannot be had, has no such columns, or an image or a label is missing. So
            does reading an image that is bad; names the row.
        ImportError: if the package `datasets` is missing or older than version 4.
    """

    def __init__(
        self,
        name: str,
        *,
        split: str | None = None,
        image: str | None = None,
        label: str | None = None,
        size: int | tuple[int, int] | None = None,
        mode: Literal["RGB", "L"] = "RGB",
    ) -> None:
        check_image_options(mode, size)
        data, self.source = open_hugging_face(name, split, None)
        library = needed("datasets", "datasets", "images of a dataset")
        kinds = data.features
        image = self._column(image, "image", [c for c in kinds if isinstance(kinds[c], library.Image)], kinds)
        named = [c for c in kinds if isinstance(kinds[c], library.ClassLabel)]
        whole = [c for c in kinds if str(getattr(kinds[c], "dtype", "")).startswith("int")]
        label = self._column(label, "label", named or whole, kinds)
        self.class_names = list(kinds[label].names) if label in named else None
        self.labels = read_column(data, label, self.source)
        bad = [row for row, one in enumerate(self.labels) if not isinstance(one, int) or one < 0]
        if bad or not self.labels:
            got = f"{self.labels[bad[0]]!r} in row {bad[0]}" if bad else "no rows"
            raise ValueError(f"{self.source}: expected labels from 0 on in column {label!r}, got {got}")
        self._data = data.select_columns([image]).cast_column(image, library.Image(decode=False))
        self._image, self.size, self.mode = image, size, mode

    def _column(self, given: str | None, what: str, fit: list[str], known: Mapping[str, Any]) -> str:
        """Returns the column asked for, or the only one that fits."""
        if given is not None and given not in known:
            raise ValueError(f"{self.source}: no column {given!r}; the columns are {', '.join(known)}")
        if given is None and len(fit) != 1:
            raise ValueError(
                f"{self.source}: expected one column that can be the {what}, got {', '.join(fit) or 'none'}; "
                f"pass {what}=. The columns are {', '.join(known)}"
            )
        return fit[0] if given is None else given

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        """Returns an image, uint8 ``(3 or 1, height, width)``, and its class.

        Raises:
            ValueError: if there is none or it cannot be read; names the row.
        """
        stored = self._data[number][self._image]
        where = f"{self.source}, row {number}"
        if stored is None:
            raise ValueError(f"{where}: expected an image, got none")
        return read_stored_image(stored, where, self.mode, self.size), self.labels[number]


def open_hugging_face(
    name: Any,
    split: str | None,
    config: str | None,
    what: str = "load('hf:...')",
    data_files: str | Sequence[str] | Mapping[str, Any] | None = None,
) -> tuple[Any, str]:
    """Returns one split of a dataset as the package `datasets` gives it, and what messages call it.

    Raises:
        ValueError: if the dataset cannot be had, or the split is unknown.
        ImportError: if the package is missing, or so old that it would run a program that lies among the
            data; says that ``what`` needs it.
    """
    library = _library(what)
    if not isinstance(name, str):
        source = f"a datasets.{type(name).__name__}" + (f" [{split}]" if split else "")
        data = _choose(name, split, source)
        if not isinstance(data, library.Dataset):
            raise TypeError(
                f"{what}: expected a name, a folder or a datasets.Dataset, got {type(data).__name__}; a "
                "stream goes into Trainer.fit as it is"
            )
        return data, source
    source = f"hf:{name}" + (f" [{split}]" if split else "")
    data = _choose(_open(library, name, config, data_files), split, source)
    try:
        data.data.validate(
            full=True
        )  # its files lie in memory as they are, and are believed by what reads them
    except Exception as error:
        raise ValueError(f"{source}: damaged: {error}") from error
    return data, source


def stream_hugging_face(name: str, split: str | None, what: str) -> tuple[Any, str]:
    """Returns one split of a dataset as a stream of rows, without fetching or reading all of it.

    What ``save_to_disk`` wrote lies in files that are mapped into memory, and is opened as such.

    Raises:
        ValueError: if the dataset cannot be had, or the split is unknown.
        ImportError: see :func:`open_hugging_face`.
    """
    if any((Path(name) / file).is_file() for file in _SAVED):
        return open_hugging_face(name, split, None, what)
    source, library = f"hf:{name}" + (f" [{split}]" if split else ""), _library(what)
    try:
        data = library.load_dataset(name, streaming=True)
    except Exception as error:  # a library's many kinds: network, name, format, configuration
        raise ValueError(f"hf:{name}: cannot be loaded: {error}") from error
    return _choose(data, split, source), source


def _library(what: str) -> Any:
    library = needed("datasets", "datasets", what)
    if int(library.__version__.split(".")[0]) < _FIRST_WITHOUT_SCRIPTS:
        raise ImportError(
            f"{what} needs the package datasets from version {_FIRST_WITHOUT_SCRIPTS} on, got "
            f"{library.__version__}: older ones run a data set's own script; pip install -U datasets"
        )
    return library


def read_column(data: Any, column: str, source: str) -> list[Any]:
    """Returns a column of a dataset of the package `datasets`.

    Raises:
        ValueError: names dataset and column, if it cannot be read.
    """
    try:
        return list(data.select_columns([column])[:][column])
    except Exception as error:  # of its many formats, and of features that need another package
        raise ValueError(f"{source}: column {column!r} cannot be read ({error})") from error


def _open(library: Any, name: str, config: str | None, data_files: Any) -> Any:
    folder = Path(name)
    try:
        if any((folder / file).is_file() for file in _SAVED):
            return library.load_from_disk(name)
        return library.load_dataset(name, config, data_files=data_files)
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
        raise ValueError(
            f"{source}: expected split to be one of {', '.join(data)}, got {split!r}; it "
            "is said by hf:NAME[SPLIT] or split="
        )
    return data[split]


def read_stored_image(
    stored: Mapping[str, Any] | None,
    name: str,
    mode: Literal["RGB", "L"] | None,
    size: int | tuple[int, int] | None = None,
) -> Tensor:
    """Decodes a picture as the package `datasets` keeps it, with ``Image(decode=False)``.

    The package itself would try every format that pillow has, and fetch what lies elsewhere.

    Raises:
        ValueError: names it, if it cannot be read, or neither holds its bytes nor names a local file.
    """
    content, path = (stored.get("bytes"), stored.get("path")) if stored else (None, None)
    if content is None:
        if not path or "://" in path:
            raise ValueError(f"{name}: expected an image's bytes or a local file, got {path!r}")
        content = Path(path)
    return read_image(content, name, mode, size)


def _read_images(
    data: Any, column: str, mode: Any, size: int | tuple[int, int] | None, bad: str, source: str
) -> tuple[list[Tensor | None], list[int]]:
    """Returns the pixels of every row, None where there is no image, and which rows cannot be read."""
    library = needed("datasets", "datasets", "load('hf:...')")
    data = data.select_columns([column]).cast_column(column, library.Image(decode=False))
    pixels: list[Tensor | None] = []
    unreadable: list[int] = []
    for row in range(len(data)):
        stored = data[row][column]
        try:
            read = None if stored is None else read_stored_image(stored, f"{source}, row {row}", mode, size)
        except ValueError as error:
            if bad == "error":
                raise ValueError(f"{error}; pass bad='skip' to leave it out") from error
            read = None
            unreadable.append(row)
        pixels.append(read)
    return pixels, unreadable


def _stacked(table: Table, column: str) -> Tensor:
    """Returns images ``(N, C, H, W)`` in [0, 1]."""
    pixels = table.columns[column]
    for row, image in enumerate(pixels):
        if image.shape != pixels[0].shape:
            raise ValueError(
                f"{table.source}, {table.where(row)}: expected an image like the first one, "
                f"{shape(pixels[0])}, got {shape(image)}; pass size=(height, width) to resize all"
            )
    return torch.stack(pixels).float().div_(255)


def _arrays(table: Table, name: str) -> Tensor:
    """Returns arrays ``(N, ...)`` float32."""
    try:
        exact = torch.tensor(table.columns[name], dtype=torch.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{table.source}: expected arrays of numbers of one shape in column {name!r} ({error})"
        ) from error
    x = exact.float()
    bad = ~x.isfinite().flatten(1).all(1)
    if bad.any():
        raise ValueError(
            f"{table.source}: expected finite float32 numbers in column {name!r}, got NaN or infinite ones "
            f"in {table.where(int(bad.nonzero()[0]))}"
        )
    if note := rounding(exact, x):
        table.notes.append(f"{name}: {note}")
    return x
