"""CSV files, read by the standard library's parser."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from ds_core.data.dataset import Dataset
from ds_core.data.table import Missing, Table, TextAs, as_dataset, number

# Cells that stand for a missing value, in any case.
MISSING_CELLS = frozenset({"", "na", "n/a", "nan", "null", "?"})


def read_csv(
    path: str | Path,
    *,
    delimiter: str = ",",
    header: bool = True,
    encoding: str = "utf-8-sig",
    missing_cells: Collection[str] = MISSING_CELLS,
) -> Table:
    """Reads a CSV file into columns of texts; None where a cell is empty or says NA, N/A, NaN, null or ?.

    Spaces around a cell and blank lines are left out. Quoted cells may hold delimiters and line ends.

    Args:
        path: the file; gzipped if its name ends in ``.gz``.
        delimiter: what stands between cells.
        header: whether the first line names the columns; otherwise they are called column1, column2, ...
        encoding: of the file; the default is UTF-8 with or without a byte order mark.
        missing_cells: what stands for a missing value, in lower case.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: names file and line, if the file is empty, is not text in this encoding, has a line with
            more or fewer cells, an unclosed quote, two columns of one name, or numbers for a header.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: " + ("is a folder, not a CSV file" if path.is_dir() else "no such file")
        )
    names: list[str] | None = None
    rows: list[list[str]] = []
    lines: list[int] = []  # where each row begins
    blank: list[int] = []
    unpack = gzip.open if path.suffix == ".gz" else open
    with unpack(path, "rt", newline="", encoding=encoding) as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        line = 1
        try:
            for cells in reader:
                line, begin = reader.line_num + 1, line
                cells = [cell.strip() for cell in cells]
                if not cells or (cells == [""] and len(names or "") != 1):
                    blank.append(begin)
                elif names is None and header:
                    names = _header(cells, f"{path}, line {begin}")
                else:
                    names = names or _header([""] * len(cells), str(path))
                    if len(cells) != len(names):
                        raise ValueError(
                            f"{path}, line {begin}: expected {len(names)} cells as in the first line, "
                            f"got {len(cells)}"
                        )
                    rows.append(cells)
                    lines.append(begin)
        except csv.Error as error:
            raise ValueError(f"{path}, line {line}: {error}") from error
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path}, after line {line}: not {encoding} text ({error.reason}); pass encoding=, "
                "'latin-1' say"
            ) from error
    if not rows or names is None:
        raise ValueError(
            f"{path}: " + ("expected rows below the header, got none" if names else "the file is empty")
        )
    columns = {
        name: [None if cell.lower() in missing_cells else cell for cell in cells]
        for name, cells in zip(names, zip(*rows, strict=True), strict=True)
    }
    notes = [f"skipped {len(blank):,} blank lines"] if blank else []
    return Table(columns, str(path), lambda row: f"line {lines[row]}", notes=notes, blank_lines=blank)


def _header(cells: Sequence[str], where: str) -> list[str]:
    """Returns the columns' names; one without a name is called after its place."""
    if any(cells) and all(number(cell) is not None for cell in cells):
        raise ValueError(
            f"{where}: expected the columns' names, got only numbers ({', '.join(cells[:3])}, ...); pass "
            "header=False if the file has no header"
        )
    names = [cell or f"column{place}" for place, cell in enumerate(cells, 1)]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{where}: expected different names, got two columns {name!r}")
    return names


def load_csv(
    path: str | Path,
    *,
    target: str | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    missing: Missing = "error",
    text: TextAs | Mapping[str, TextAs] = "error",
    classes: bool | None = None,
    delimiter: str = ",",
    header: bool = True,
    encoding: str = "utf-8-sig",
) -> Dataset:
    """Loads a CSV file as tensors.

    Args:
        path: the file; gzipped if its name ends in ``.gz``.
        target: the column to predict, y ``(N,)``; or a list of number columns, y ``(N, outputs)``; None for
            no y.
        columns: the features, in this order; None for every column but the target.
        missing: what to do about gaps in the columns used: "error"; "drop" the rows; or fill a gap in a
            number column with the "mean" or "median" of its present values. These are taken over all rows, so
            also over those that become a test part later. Gaps in texts and targets are never filled.
        text: what to do about columns of texts: "error"; "one_hot", a column of 0 and 1 for each different
            text, in alphabetic order; "index", the place in that order. A dict says it for single columns,
            and makes texts of their numbers too.
        classes: whether the target is class labels, y int64, their names kept in order. None: texts are, and
            numbers are not.
        delimiter: what stands between cells.
        header: whether the first line names the columns; otherwise they are called column1, column2, ...
        encoding: of the file; the default is UTF-8 with or without a byte order mark.

    Raises:
        FileNotFoundError, ValueError: name file, line and column and say what can be done.

    Example:
        >>> load_csv("housing.csv", target="price", missing="median", text={"town": "one_hot"})
    """
    table = read_csv(path, delimiter=delimiter, header=header, encoding=encoding)
    return as_dataset(table, target=target, columns=columns, missing=missing, text=text, classes=classes)
