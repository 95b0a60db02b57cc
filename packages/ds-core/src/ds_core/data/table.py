"""Tables become tensors: which columns, what about gaps, what about texts, and a note of all that."""

from __future__ import annotations

import difflib
import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from ds_core.data.dataset import Dataset, listed

Missing = Literal["error", "drop", "mean", "median"]
TextAs = Literal["error", "one_hot", "index"]

# A text with more different values than this is prose or a name, not a category.
_MANY_CATEGORIES = 1000
# Whole numbers with at most this many different values look like class labels.
_FEW_VALUES = 20
# Rounding by less than this share of the range of a column is not worth a note.
_SMALL_SHARE = 1e-3
_WHOLE = re.compile(r"[+-]?[0-9]{1,4000}")
_CODE = re.compile(r"[+-]?0[0-9]")  # 007 is a number, but not written as one


@dataclass
class Table:
    """Columns as a file holds them, before they become numbers.

    Attributes:
        columns: name -> values, one a row: numbers, texts, or None where there is none.
        source: where they come from, as messages call it.
        where: says of a row's number where it stands: "line 17".
        class_names: of columns whose whole numbers are known to be classes, their names.
        notes: what happened while reading.
        blank_lines: the numbers of lines that held nothing and became no row.
    """

    columns: dict[str, list[Any]]
    source: str
    where: Callable[[int], str]
    class_names: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    blank_lines: list[int] = field(default_factory=list)

    def keep(self, rows: Sequence[int]) -> Table:
        """Returns the table with some of its rows, which still know where they stood."""
        columns = {name: [values[row] for row in rows] for name, values in self.columns.items()}
        return Table(columns, self.source, lambda row: self.where(rows[row]), self.class_names, [*self.notes])


def as_dataset(
    table: Table,
    *,
    target: str | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    missing: Missing = "error",
    text: TextAs | Mapping[str, TextAs] = "error",
    classes: bool | None = None,
) -> Dataset:
    """Turns a table into tensors.

    Args:
        table: the columns.
        target: y, see :func:`ds_core.data.load_csv`.
        columns: x, see there.
        missing: what to do about gaps, see there.
        text: what to do about columns of texts, see there.
        classes: whether the target is class labels, see there.

    Raises:
        ValueError: names the column, and the line where there is one, and says what can be done.
    """
    targets = names_of(() if target is None else target, f"{table.source}: target")
    if target is not None and not targets:
        raise ValueError(f"{table.source}: target: expected at least one column, or None, got {target!r}")
    check_names(targets, table.columns, f"{table.source}: target")
    taken = set(targets)
    if columns is not None:
        columns = names_of(columns, f"{table.source}: columns")
        check_names(columns, table.columns, f"{table.source}: columns")
        if shared := [name for name in columns if name in taken]:
            raise ValueError(
                f"{table.source}: column {shared[0]!r} is the target, and cannot be a feature too"
            )
    features = [name for name in table.columns if name not in taken] if columns is None else columns
    if not features:
        raise ValueError(f"{table.source}: expected at least one feature column beside the target")
    if isinstance(text, Mapping):
        check_names(text, table.columns, f"{table.source}: text")
    if missing not in ("error", "drop", "mean", "median"):
        raise ValueError(f"missing: expected 'error', 'drop', 'mean' or 'median', got {missing!r}")
    for word in text.values() if isinstance(text, Mapping) else [text]:
        if not isinstance(word, str) or word not in ("error", "one_hot", "index"):
            raise ValueError(f"text: expected 'error', 'one_hot' or 'index', got {word!r}")

    table = settle_missing(table, [*features, *targets], targets, missing)
    parts: list[Tensor] = []
    names: list[str] = []
    numbers: dict[str, list[float]] = {}  # of neighbouring columns, which become tensors together
    for name in features:
        column = _filled(table, name, missing, text)
        if column is None:
            part, part_names = _encoded(table, name, text)
            parts += [*_finite(table, numbers), part]
            names += [*numbers, *part_names]
            numbers = {}
        else:
            numbers[name] = column
    x = torch.cat([*parts, *_finite(table, numbers)], 1)  # (N, features)
    names += numbers
    y, class_names = encode_target(table, target, classes)
    return Dataset(x, y, names, class_names, table.source, table.notes)


def names_of(value: str | Sequence[str], what: str) -> list[str]:
    """Returns names, of which one may come alone.

    Raises:
        TypeError: if they are something else.
    """
    if isinstance(value, str):
        return [value]
    if not isinstance(value, (list, tuple)) or not all(isinstance(name, str) for name in value):
        raise TypeError(f"{what}: expected the name of a column, or a list of them, got {value!r}")
    return list(value)


def check_names(names: Sequence[str] | Mapping[str, Any], known: Mapping[str, Any], what: str) -> None:
    """Checks that names are those of columns that exist, each once.

    Raises:
        ValueError: lists the columns, and suggests the closest.
    """
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(str(name), list(known)[:_MANY_CATEGORIES], 1)
            raise ValueError(
                f"{what}: no column {name!r}"
                + (f"; did you mean {close[0]!r}?" if close else ";")
                + f" The columns are {listed(list(known))}"
            )
    if len(set(names)) < len(names):
        raise ValueError(f"{what}: expected each column once, got {listed(list(names))}")


def settle_missing(table: Table, used: Sequence[str], targets: Sequence[str], missing: Missing) -> Table:
    """Returns the table without rows that have a gap which may not stay.

    Gaps in number columns stay if they are to be filled.

    Raises:
        ValueError: counts the gaps of each column, if they are errors, cannot be filled, or leave nothing.
    """
    gaps = {name: [row for row, value in enumerate(table.columns[name]) if value is None] for name in used}
    gaps = {name: rows for name, rows in gaps.items() if rows}
    length = len(table.columns[used[0]])
    empty = [name for name, rows in gaps.items() if len(rows) == length]
    if empty:
        raise ValueError(
            f"{table.source}: column {empty[0]!r} has no value at all; leave it out with columns="
        )
    counted = listed([f"{name} {len(rows)}" for name, rows in gaps.items()])
    if gaps and missing == "error":
        name, rows = next(iter(gaps.items()))
        raise ValueError(
            f"{table.source}: values are missing ({counted}), the first one of {name!r} in "
            f"{table.where(rows[0])}; pass missing='drop', 'mean' or 'median', or choose other columns"
        )
    if gaps and missing == "drop":
        bad = {row for rows in gaps.values() for row in rows}
        if len(bad) == length:
            raise ValueError(f"{table.source}: every row misses some value ({counted}); nothing is left")
        table = table.keep([row for row in range(length) if row not in bad])
        table.notes.append(f"dropped {len(bad):,} of {length:,} rows with missing values ({counted})")
    elif lost := [name for name in gaps if name in targets]:
        raise ValueError(
            f"{table.source}: the target {lost[0]!r} is missing in {table.where(gaps[lost[0]][0])}; targets "
            "are not made up: pass missing='drop'"
        )
    return table


def encode_target(
    table: Table, target: str | Sequence[str] | None, classes: bool | None
) -> tuple[Tensor | None, list[str] | None]:
    """Returns y and, for classes, their names; y is None without a target."""
    if target is None:
        return None, None
    if not isinstance(target, str):
        if classes:
            raise ValueError(f"{table.source}: expected one target column of classes, got a list of columns")
        return torch.cat(_finite(table, {name: _numbers(table, name) for name in target}), 1), None
    values = table.columns[target]
    if target in table.class_names and classes is not False:
        names = table.class_names[target]
        for row, value in enumerate(values):
            if not 0 <= value < len(names):
                raise ValueError(
                    f"{table.source}: expected classes from 0 to {len(names) - 1} in the target {target!r}, "
                    f"got {value!r} in {table.where(row)}"
                )
        table.notes.append(f"{target}: target, {len(names)} classes")
        return torch.tensor([int(value) for value in values]), names
    is_text = _parsed(table, target) is None
    if is_text and classes is False:
        raise ValueError(f"{table.source}: expected numbers in the target {target!r}, got {values[0]!r}")
    if is_text or classes:
        labels, names = _categories(table, target)
        kind, order = ("texts", "alphabetic") if is_text else ("numbers", "rising")
        table.notes.append(f"{target}: target, {kind} as {len(names)} classes in {order} order")
        return torch.tensor(labels), names
    y = _finite(table, {target: _numbers(table, target)})[0][:, 0]
    note = f"{target}: target, numbers"
    if classes is None and bool((y == y.round()).all()) and len(y.unique()) <= _FEW_VALUES:
        note += "; pass classes=True if they are class labels"
    table.notes.append(note)
    return y, None


def _filled(
    table: Table, name: str, missing: Missing, text: TextAs | Mapping[str, TextAs]
) -> list[float] | None:
    """Returns a column's numbers, its gaps filled; None if it holds texts, or is to be taken for them."""
    said = text.get(name) if isinstance(text, Mapping) else None
    numbers = None if said in ("one_hot", "index") else _parsed(table, name)
    if numbers is None:
        return None
    present = [number for number in numbers if number is not None]
    gaps = len(numbers) - len(present)
    if not gaps:
        return present
    fill = statistics.fmean(present) if missing == "mean" else statistics.median(present)
    table.notes.append(f"{name}: filled {gaps:,} missing values with the {missing}, {fill:g}")
    return [fill if number is None else number for number in numbers]


def _encoded(table: Table, name: str, text: TextAs | Mapping[str, TextAs]) -> tuple[Tensor, list[str]]:
    """Returns what a column of texts becomes, ``(N, 1)`` or ``(N, texts)``, and the names of its columns."""
    values = table.columns[name]
    how = text if isinstance(text, str) else text.get(name, "error")
    if None in values:
        raise ValueError(
            f"{table.source}: column {name!r} is text and misses a value in "
            f"{table.where(values.index(None))}; a text is not made up: pass missing='drop'"
        )
    if how == "error":
        raise ValueError(
            f"{table.source}: expected numbers, got {values[0]!r} in column {name!r}, {table.where(0)}; pass "
            f"text={{{name!r}: 'one_hot'}} or 'index' to encode it, or choose other columns"
        )
    labels, names = _categories(table, name)
    index = torch.tensor(labels)
    if how == "index":
        table.notes.append(f"{name}: text, as its place in alphabetic order: " + _pairs(names))
        return index.float()[:, None], [name]
    if len(names) > _MANY_CATEGORIES:
        raise ValueError(
            f"{table.source}: column {name!r} has {len(names):,} different texts, too many for one-hot "
            "columns; leave it out with columns=, or pass 'index'"
        )
    table.notes.append(f"{name}: text, as {len(names)} columns of 0 and 1")
    columns = index[:, None] == torch.arange(len(names))
    return columns.float(), [f"{name}={value}" for value in names]


def _pairs(names: list[str], most: int = 8) -> str:
    pairs = ", ".join(f"{place} {value}" for place, value in enumerate(names[:most]))
    return pairs + (", ..." if len(names) > most else "")


def number(value: Any) -> float | None:
    """Reads a value as a number; None if it is none."""
    if isinstance(value, (bytes, bytearray)) or (isinstance(value, str) and "_" in value):
        return None  # Python would read b"1" and 1_000
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _parsed(table: Table, name: str) -> list[float | None] | None:
    """Returns a column's numbers, with its gaps; None if it holds texts only.

    Raises:
        ValueError: if it holds both; names the line of the first text.
    """
    values = table.columns[name]
    numbers = [None if value is None else number(value) for value in values]
    texts = [
        row
        for row, (value, read) in enumerate(zip(values, numbers, strict=True))
        if read is None and value is not None
    ]
    if not texts:
        return numbers
    present = sum(value is not None for value in values)
    if len(texts) == present:
        return None
    others = f" (and {len(texts) - 1:,} more)" if len(texts) > 1 else ""
    raise ValueError(
        f"{table.source}: expected a number as in {present - len(texts):,} other rows, got "
        f"{values[texts[0]]!r} in column {name!r}, {table.where(texts[0])}{others}; correct it, or pass "
        f"text={{{name!r}: 'one_hot'}} if all are meant as texts"
    )


def _numbers(table: Table, name: str) -> list[float]:
    """Returns a gapless column's numbers."""
    numbers = _parsed(table, name)
    if numbers is None:
        raise ValueError(
            f"{table.source}: expected numbers in column {name!r}, got {table.columns[name][0]!r} in "
            f"{table.where(0)}"
        )
    return [value for value in numbers if value is not None]


def _categories(table: Table, name: str) -> tuple[list[int], list[str]]:
    """Returns each row's place among the different values of a column, and these in order.

    Numbers are one value however they are written, 1 and 1.0; but not 1 and 01, which is a code.
    """
    values = table.columns[name]
    different = set(values)
    key: dict[Any, Any] = {value: value for value in different}
    if all(number(value) is not None for value in different):
        if not any(isinstance(value, str) and _CODE.match(value) for value in different):
            key = {value: _exactly(value) for value in different}
        order: list[Any] = sorted(set(key.values()), key=lambda value: (number(value) or 0.0, str(value)))
    else:
        order = sorted(different, key=str)
    written: dict[Any, list[str]] = {}
    for value in different:
        written.setdefault(key[value], []).append(_written(value))
    for spellings in written.values():
        if len(spellings) > 1:
            table.notes.append(f"{name}: {' and '.join(sorted(spellings))} are one number")
    place = {value: i for i, value in enumerate(order)}
    names = [written[value][0] if len(written[value]) == 1 else _written(value) for value in order]
    return [place[key[value]] for value in values], names


def _exactly(value: Any) -> Any:
    """Returns a number such that only equal numbers are equal: an int where it is whole."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    if isinstance(value, int):
        return value
    read = float(value)
    return int(read) if read.is_integer() else read


def _written(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value)


def _finite(table: Table, columns: Mapping[str, Sequence[float]]) -> list[Tensor]:
    """Returns float32 ``(N, columns)``, in a list that is empty if there are no columns.

    Raises:
        ValueError: if a number is infinite, or too large for float32.
    """
    if not columns:
        return []
    exact = torch.tensor(list(columns.values()), dtype=torch.float64)  # (columns, N)
    rounded = exact.float()
    names = list(columns)
    bad = (~rounded.isfinite()).nonzero().tolist()
    if bad:
        name, row = names[bad[0][0]], bad[0][1]
        raise ValueError(
            f"{table.source}: expected a finite float32 number, got {table.columns[name][row]!r} in "
            f"column {name!r}, {table.where(row)}"
        )
    changed = (rounded.double() != exact).any(1).nonzero().flatten().tolist()
    for column in changed:
        if note := rounding(exact[column], rounded[column]):
            table.notes.append(f"{names[column]}: {note}")
    return [rounded.T.contiguous()]


def rounding(exact: Tensor, rounded: Tensor) -> str | None:
    """Says what numbers lose as float32, where that matters: whole ones, and those that differ by little.

    Args:
        exact: float64.
        rounded: the same as float32.
    """
    error = (rounded.double() - exact).abs()
    is_whole = (exact == exact.round()) & (exact.abs() < 2**63)  # beyond, nobody counts
    spread = exact.max() - exact.min()
    lost = (error > 0) & (is_whole | ((error > _SMALL_SHARE * spread) & (spread > 0)))
    if not lost.any():
        return None
    merged = len(exact.unique()) - len(rounded.unique())
    return (
        f"rounded {int(lost.sum()):,} numbers to float32, by up to {error.max().item():.3g}"
        + (f", so that {merged:,} different ones became equal" if merged else "")
        + "; if small differences matter, subtract an offset before loading"
    )


def is_gap(value: Any) -> bool:
    """Says whether a typed value stands for a missing one: None or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))
