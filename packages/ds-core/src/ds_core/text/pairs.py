"""Pairs: sentences and their translations, from a file, a data set by name, or what is shipped."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from ds_core.data.csv import read_csv
from ds_core.data.hugging_face import open_hugging_face, read_column
from ds_core.data.split import train_test_split
from ds_core.data.table import Table, check_names, is_gap

# What the package brings along: name -> file.
BUNDLED = {"sentences": Path(__file__).parents[1] / "data" / "bundled" / "sentences.csv.gz"}


@dataclass(eq=False)
class Pairs:
    """Holds sentences and their translations.

    Attributes:
        source: the sentences to translate.
        target: their translations, one for each.
        origin: where they come from.
        notes: what was left out.
    """

    source: list[str]
    target: list[str]
    origin: str = ""
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if len(self.source) != len(self.target):
            raise ValueError(
                f"Pairs: expected one translation for each sentence, got {len(self.source):,} sentences and "
                f"{len(self.target):,} translations"
            )

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, part: slice) -> Pairs:
        """Returns a part, as of a list: ``pairs[:100]``.

        Raises:
            TypeError: if it is anything but a slice.
        """
        if not isinstance(part, slice):
            raise TypeError(f"Pairs: expected a slice, as in pairs[:100], got {part!r}; take([3]) takes one")
        return Pairs(self.source[part], self.target[part], self.origin, [*self.notes])

    def take(self, rows: Sequence[int]) -> Pairs:
        """Returns the pairs with these numbers."""
        source, target = ([texts[row] for row in rows] for texts in (self.source, self.target))
        return Pairs(source, target, self.origin, [*self.notes])

    def split(self, test_size: float = 0.1, seed: int = 0) -> tuple[Pairs, Pairs]:
        """Divides the pairs at random into a training and a test part; see :func:`train_test_split`."""
        train, test = train_test_split(torch.arange(len(self)), test_size=test_size, seed=seed)
        return self.take(train.tolist()), self.take(test.tolist())

    def __repr__(self) -> str:
        """Shows the number of pairs, the first one and the notes."""
        lines = [f"Pairs({self.origin}: {len(self):,} pairs)"]
        lines += [f"  {self.source[0]}", f"  {self.target[0]}"] if len(self) else []
        return "\n".join([*lines, *(f"  note {note}" for note in self.notes)])


def load_pairs(
    source: str | Path,
    source_column: str,
    target_column: str,
    *,
    split: str | None = None,
    config: str | None = None,
    empty: Literal["skip", "error"] = "skip",
    delimiter: str | None = None,
    encoding: str = "utf-8-sig",
) -> Pairs:
    """Loads parallel text.

    Args:
        source: a CSV or TSV file whose first line names the columns, ``"data.csv"`` or ``"csv:data.csv"``;
            ``"hf:NAME"`` or ``"hf:NAME[SPLIT]"``, a data set of the package `datasets` on the hub or in a
            folder, whose columns are texts, or a ``translation`` with one text for each language;
            ``"bundled:sentences"``, which comes with this package, in en, de, es and fr.
        source_column: the column to translate from.
        target_column: the column to translate to.
        split: of ``hf:``, which part, if not said in brackets.
        config: of ``hf:``, which configuration.
        empty: whether blank lines, and rows that lack one of the two sentences, are skipped with a warning or
            are an error.
        delimiter: of a file, what stands between cells; None for a tab in ``.tsv``, ``.tab`` and ``.txt``
            files, where quotes are characters like any other, and a comma in others.
        encoding: of a file; the default is UTF-8 with or without a byte order mark.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: names file and line of a row with more or fewer cells, of an empty sentence, or of an
            unclosed quote; lists the columns there are, if one is unknown.
        ImportError: if the package `datasets` is needed and missing.

    Example:
        >>> pairs = load_pairs("bundled:sentences", "en", "de")
        >>> train, test = pairs.split(test_size=0.1)
    """
    if not isinstance(source, (str, Path)):
        raise TypeError(f"load_pairs: expected a file, 'hf:NAME' or 'bundled:sentences', got {source!r}")
    if empty not in ("skip", "error"):
        raise ValueError(f"load_pairs: expected empty to be 'skip' or 'error', got {empty!r}")
    table = _table(source, split, config, delimiter, encoding)
    names = [source_column, target_column]
    for name in names:
        check_names([name], table.columns, f"{table.source}: languages")
    rows = list(zip(*(table.columns[name] for name in names), strict=True))
    for name, text in ((name, text) for row in rows for name, text in zip(names, row, strict=True)):
        if not isinstance(text, str) and not is_gap(text):
            raise ValueError(
                f"{table.source}: expected texts in column {name!r}, got {type(text).__name__} {text!r}"
            )
    full = [
        number for number, row in enumerate(rows) if all(not is_gap(text) and text.strip() for text in row)
    ]
    lacking = [table.where(number) for number in sorted(set(range(len(rows))) - set(full))]
    notes = []
    for what, where in (
        ("blank lines", [f"line {line}" for line in table.blank_lines]),
        (f"rows without a sentence in {source_column!r} or {target_column!r}", lacking),
    ):
        if where:
            places = ", ".join(where[:5]) + (", ..." if len(where) > 5 else "")
            if empty == "error":
                raise ValueError(
                    f"{table.source}: {len(where):,} {what} ({places}); complete or remove them, or pass "
                    "empty='skip'"
                )
            notes.append(f"skipped {len(where):,} {what} ({places})")
            warnings.warn(f"{table.source}: {notes[-1]}", stacklevel=2)
    if not full:
        raise ValueError(
            f"{table.source}: no row has a sentence in both {source_column!r} and {target_column!r}"
        )
    texts = [[rows[number][side].strip() for number in full] for side in (0, 1)]
    return Pairs(texts[0], texts[1], table.source, notes)


def _table(
    source: str | Path, split: str | None, config: str | None, delimiter: str | None, encoding: str
) -> Table:
    """Returns the columns of texts of any source."""
    kind, colon, what = str(source).partition(":")
    if kind == "hf" and colon:
        name, bracket, within = what.partition("[")
        if bracket and split is None and within.endswith("]"):
            what, split = name, within[:-1]
        return _hugging_face_table(what, split, config)
    if split is not None or config is not None:
        raise ValueError(f"load_pairs: split and config are for 'hf:' data, got {str(source)!r}")
    if kind == "bundled" and colon:
        if what not in BUNDLED:
            raise ValueError(f"load_pairs: expected bundled:{' or bundled:'.join(BUNDLED)}, got {source!r}")
        table = read_csv(BUNDLED[what])
        table.source = str(source)
        return table
    path = Path(what if kind == "csv" and colon else source)
    if delimiter is None and path.suffix.lower() == ".txt":
        delimiter = "\t"
    return read_csv(path, delimiter=delimiter, encoding=encoding, missing_cells=("",))


def _hugging_face_table(name: str, split: str | None, config: str | None) -> Table:
    """Returns the columns of a data set; those of dicts, such as ``translation``, as one for each key."""
    data, source = open_hugging_face(name, split, config, "load_pairs('hf:...')")
    columns: dict[str, list[Any]] = {}
    for column in data.column_names:
        values = read_column(data, column, source)
        first = next((value for value in values if value is not None), None)
        if isinstance(first, Mapping):
            for key in first:
                columns[key] = [None if value is None else value[key] for value in values]
        else:
            columns[column] = values
    return Table(columns, source, lambda row: f"row {row}")
