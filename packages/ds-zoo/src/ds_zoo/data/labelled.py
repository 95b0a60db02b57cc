"""Labelled texts of any source, in two parts: to learn from, and held out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ds_core.data import read_csv
from ds_core.data.hugging_face import open_hugging_face, read_column
from ds_core.data.table import Table

from ds_zoo.data.words import parse, text_column

SENTIMENT = Path(__file__).parent / "bundled" / "sentiment.csv.gz"
BUNDLED = {"sentiment": SENTIMENT}
LABEL, PART, TRAINING = "label", "part", "training"


class Labelled(NamedTuple):
    """Texts and a label for each.

    Attributes:
        texts: none of them empty.
        labels: one for each.
        held_out: whether each is held out; None if the data do not say.
    """

    texts: list[str]
    labels: list[str]
    held_out: list[bool] | None = None

    def parts(self, seed: int = 0) -> tuple[Labelled, Labelled]:
        """Returns those to learn from and those held out.

        Args:
            seed: of the tenth that is held out where the data do not say which are.

        Raises:
            ValueError: if one of the parts is empty.
        """
        held_out = self.held_out
        if held_out is None:
            drawn = set(random.Random(seed).sample(range(len(self.texts)), round(len(self.texts) / 10)))
            held_out = [number in drawn for number in range(len(self.texts))]
        if len(set(held_out)) < 2:
            raise ValueError(
                f"labelled texts: expected some to learn from and some held out, got {held_out[:1]}"
            )
        rows = list(zip(self.texts, self.labels, held_out, strict=True))
        learned, kept = ([row for row in rows if row[2] is wanted] for wanted in (False, True))
        return (
            Labelled([text for text, _, _ in learned], [label for _, label, _ in learned]),
            Labelled([text for text, _, _ in kept], [label for _, label, _ in kept]),
        )

    def numbers(self, names: Sequence[str], where: str) -> list[int]:
        """Returns the place of each label among the names.

        Raises:
            ValueError: if a label is none of them.
        """
        places = {name: place for place, name in enumerate(names)}
        for text, label in zip(self.texts, self.labels, strict=True):
            if label not in places:
                raise ValueError(
                    f"{where}: expected one of the labels {', '.join(names)}, got {label!r} for {text[:60]!r}"
                )
        return [places[label] for label in self.labels]


def read_labelled(word: str) -> Labelled:
    """Reads texts from the column named in the data word, or ``text``, and labels from the column ``label``.

    If there is a column ``part``, what does not have the word "training" there is held out.

    Args:
        word: ``csv:FILE``, ``hf:NAME[SPLIT]`` or ``bundled:sentiment``; see :mod:`ds_zoo.data.words`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the data are of another kind, lack a column, or a row lacks its text or its label.
    """
    table, column = _table(word)
    if LABEL not in table.columns:
        raise ValueError(f"{word}: expected a column {LABEL!r}; the columns are {', '.join(table.columns)}")
    rows = list(zip(table.columns[column], table.columns[LABEL], strict=True))
    for number, (text, label) in enumerate(rows):
        if not isinstance(text, str) or not text.strip() or label is None:
            where = f"{word}, {table.where(number)}"
            raise ValueError(f"{where}: expected a text and a label, got {text!r} and {label!r}")
    parts = table.columns.get(PART)
    held_out = None if parts is None else [part != TRAINING for part in parts]
    return Labelled([text for text, _ in rows], [str(label) for _, label in rows], held_out)


def _table(word: str) -> tuple[Table, str]:
    """Returns the columns, and which of them holds the texts."""
    found = parse(word)
    if found.kind == "bundled" and found.what in BUNDLED:
        table = read_csv(BUNDLED[found.what])
        table.source = word
    elif found.kind == "csv":
        table = read_csv(found.what, missing_cells=("",))
    elif found.kind == "hf":
        data, source = open_hugging_face(found.what, found.split, None, "labelled texts")
        columns = {name: read_column(data, name, source) for name in data.column_names}
        table = Table(columns, source, lambda row: f"row {row}")
    else:
        raise ValueError(f"{word}: expected labelled texts: csv:FILE, hf:NAME[SPLIT] or bundled:sentiment")
    return table, text_column(list(table.columns), found)
