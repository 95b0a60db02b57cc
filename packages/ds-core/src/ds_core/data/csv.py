"""CSV files, read by the standard library's parser."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from ds_core.checks import as_path
from ds_core.data.dataset import Dataset
from ds_core.data.table import Missing, Table, TextAs, as_dataset, number
from ds_core.data.unpack import unpacked

# Cells that stand for a missing value, in any case.
MISSING_CELLS = frozenset({"", "na", "n/a", "nan", "null", "?"})


def read_csv(
    path: str | Path,
    *,
    delimiter: str | None = None,
    header: bool = True,
    encoding: str = "utf-8-sig",
    missing_cells: Collection[str] = MISSING_CELLS,
) -> Table:
    """Reads a CSV file into columns of texts; None where a cell is empty or says NA, N/A, NaN, null or ?.

    Spaces around a cell and blank lines are left out. Quoted cells may hold delimiters and line ends; but not
    where tabs stand between cells: there a quote is a character like any other.

    Args:
        path: the file; gzipped if its name ends in ``.gz``.
        delimiter: what stands between cells; None for a tab in ``.tsv`` and ``.tab`` files and a comma in
            others.
        header: whether the first line names the columns; otherwise they are called column1, column2, ...
        encoding: of the file; the default is UTF-8 with or without a byte order mark.
        missing_cells: what stands for a missing value, in lower case.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: names file and line, if the file is empty, is not text in this encoding, has a line with
            more or fewer cells, an unclosed quote, two columns of one name, or numbers for a header.
    """
    path = as_path("read_csv", path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: " + ("is a folder, not a CSV file" if path.is_dir() else "no such file")
        )
    if delimiter is None:
        kind = Path(path.stem).suffix if path.suffix.lower() == ".gz" else path.suffix
        delimiter = "\t" if kind.lower() in (".tsv", ".tab") else ","
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n':
        raise ValueError(f"delimiter: expected one character between cells, got {delimiter!r}")
    if not isinstance(encoding, str):
        raise TypeError(f"encoding: expected the name of one, 'utf-8' say, got {encoding!r}")
    try:
        "".encode(encoding)  # of which "hex", say, is none
        if codecs.lookup(encoding).name == "utf-8":
            encoding = "utf-8-sig"  # a byte order mark is not part of the first cell
    except LookupError as error:
        raise ValueError(f"encoding: expected the name of one, 'utf-8' say, got {encoding!r}") from error
    quoting: Any = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    names: list[str] | None = None
    rows: list[list[str]] = []
    lines: list[int] = []  # where each row begins
    blank: list[int] = []
    packed = path.suffix.lower() == ".gz"
    raw: IO[bytes] = io.BytesIO(unpacked(path)) if packed else path.open("rb")
    with io.TextIOWrapper(raw, newline="", encoding=encoding) as file:
        reader = csv.reader(file, delimiter=delimiter, quoting=quoting, strict=True)
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
        except UnicodeError as error:
            reason = error.reason if isinstance(error, UnicodeDecodeError) else error
            raise ValueError(
                f"{path}, after line {line}: not {encoding} text ({reason}); pass encoding=, 'latin-1' say"
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
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{where}: expected different names, got {count} columns {name!r}")
    return names


def load_csv(
    path: str | Path,
    *,
    target: str | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    missing: Missing = "error",
    text: TextAs | Mapping[str, TextAs] = "error",
    classes: bool | None = None,
    delimiter: str | None = None,
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
        delimiter: what stands between cells; None for a tab in ``.tsv`` and ``.tab`` files, where quotes are
            characters like any other, and a comma in others.
        header: whether the first line names the columns; otherwise they are called column1, column2, ...
        encoding: of the file; the default is UTF-8 with or without a byte order mark.

    Raises:
        FileNotFoundError, ValueError: name file, line and column and say what can be done.

    Example:
        >>> load_csv("housing.csv", target="price", missing="median", text={"town": "one_hot"})
    """
    table = read_csv(path, delimiter=delimiter, header=header, encoding=encoding)
    return as_dataset(table, target=target, columns=columns, missing=missing, text=text, classes=classes)
