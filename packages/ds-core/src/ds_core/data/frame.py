"""Tables of pandas, which a program has already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ds_core.data.dataset import Dataset
from ds_core.data.table import Missing, Table, TextAs, as_dataset


def load_frame(
    frame: Any,
    *,
    target: str | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    missing: Missing = "error",
    text: TextAs | Mapping[str, TextAs] = "error",
    classes: bool | None = None,
) -> Dataset:
    """Turns a DataFrame of pandas into tensors, as :func:`load_csv` does with a file.

    Args:
        frame: the table; columns of truth values become 0 and 1, those of categories texts.
        target: the column to predict, see :func:`load_csv`.
        columns: the features, see :func:`load_csv`.
        missing: what to do about gaps, None or NaN, see :func:`load_csv`.
        text: what to do about columns of texts, see :func:`load_csv`.
        classes: whether the target is class labels, see :func:`load_csv`.

    Raises:
        TypeError: if it is no such table, or a column has no name.
        ValueError: names the column, and the row where there is one, and says what can be done.
    """
    if not (hasattr(frame, "columns") and hasattr(frame, "to_dict")):
        raise TypeError(f"load_frame: expected a DataFrame of pandas, got {type(frame).__name__}")
    names = list(frame.columns)
    for name in names:
        if not isinstance(name, str) or names.count(name) > 1:
            raise TypeError(f"a DataFrame: expected texts, each once, as names of columns, got {name!r}")
    gaps = frame.isna()
    read = {
        name: [None if gap else _plain(value) for value, gap in zip(frame[name], gaps[name], strict=True)]
        for name in names
    }
    index = list(frame.index)
    rows = Table(read, "a DataFrame", lambda row: f"row {index[row]}")
    return as_dataset(rows, target=target, columns=columns, missing=missing, text=text, classes=classes)


def _plain(value: Any) -> Any:
    """Returns a number of numpy as Python's, and what is neither number nor text as a text."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, bool):
        return int(value)
    return value if isinstance(value, (int, float, str)) else str(value)
