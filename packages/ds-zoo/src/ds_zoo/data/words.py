"""Data words: what ``--data`` may be.

======================  ===============================================================================
``FILE`` or ``FOLDER``  plain text: one UTF-8 file, or all ``.txt`` and ``.md`` files below a folder
``csv:FILE``            a table, gzipped if it ends in ``.gz``
``hf:NAME[SPLIT]``      a data set of the package `datasets`: a name on the hub, or a folder
``bundled:NAME``        what is inside the package, or inside Python
``imagefolder:FOLDER``  images, in one subfolder for each class; with boxes, one folder with metadata.jsonl
``coco:FILE.json``      images with boxes and masks in COCO's format; ``#FOLDER`` says where the images are
``panoptic:FILE.json``  images cut into segments in COCO's panoptic format; ``#FOLDER`` alike
``voc:FOLDER``          images with boxes in Pascal VOC's format
``labelmaps:FOLDER``    images and label maps; ``#FOLDER`` says where the label maps are
``idx:FOLDER[SPLIT]``   images in files as MNIST's
``sklearn:NAME``        what the package scikit-learn brings along
======================  ===============================================================================

Behind ``csv:`` and ``hf:`` a column may be named: ``csv:reviews.csv#review``. A kind of data that is not
listed here is added to :data:`KINDS`, with a module of this package that reads it.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

# Kind -> what it is, as messages call it.
KINDS = {
    "text": "a text file or folder",
    "csv": "csv:FILE",
    "hf": "hf:NAME[SPLIT]",
    "bundled": "bundled:NAME",
    "imagefolder": "imagefolder:FOLDER",
    "idx": "idx:FOLDER[SPLIT]",
    "coco": "coco:FILE.json",
    "panoptic": "panoptic:FILE.json",
    "voc": "voc:FOLDER",
    "labelmaps": "labelmaps:FOLDER",
    "sklearn": "sklearn:NAME",
}


class Word(NamedTuple):
    """A data word, taken apart.

    Attributes:
        kind: one of :data:`KINDS`.
        what: the file, the folder or the name.
        split: of a data set of `datasets`, or of files as MNIST's; None if none is named.
        column: of a table or a data set, or a folder besides; None if none is named.
    """

    kind: str
    what: str
    split: str | None = None
    column: str | None = None

    def __str__(self) -> str:
        """Writes it as it was given."""
        kind = "" if self.kind == "text" else f"{self.kind}:"
        split = "" if self.split is None else f"[{self.split}]"
        return f"{kind}{self.what}{split}" + ("" if self.column is None else f"#{self.column}")


def parse(word: str) -> Word:
    """Takes a data word apart.

    Raises:
        FileNotFoundError: if it is a text file or folder that does not exist.
        ValueError: if its kind is unknown, or nothing follows it.
    """
    if not word:
        raise ValueError(f"data: expected {_kinds()}, got nothing")
    kind, colon, what = word.partition(":")
    if Path(word).exists() or not colon:
        if not Path(word).exists():
            raise FileNotFoundError(f"{word}: no such file or folder; data may be {_kinds()}")
        return Word("text", word)
    if kind not in KINDS or kind == "text":
        close = difflib.get_close_matches(kind.lower(), KINDS, 1)
        hint = f"; did you mean {close[0]}:{what}?" if close else ""
        raise ValueError(f"data: expected {_kinds()}, got {word!r}{hint}")
    if not what:
        raise ValueError(f"data: expected something after {kind}:, got {word!r}")
    split = column = None
    if kind in ("csv", "hf", "coco", "panoptic", "labelmaps") and not Path(what).exists():
        what, mark, named = what.rpartition("#")
        what, column = (what, named) if mark else (named, None)
    if kind in ("hf", "idx") and what.endswith("]") and "[" in what and not Path(what).exists():
        what, _, split = what[:-1].partition("[")
    return Word(kind, what, split, column)


def _kinds() -> str:
    *others, last = KINDS.values()
    return f"{', '.join(others)} or {last}"


def text_column(columns: Sequence[str], word: Word) -> str:
    """Returns the column that holds the texts: the one named, ``text``, or the only one.

    Raises:
        ValueError: if it is not clear; lists the columns.
    """
    if word.column is not None and word.column not in columns:
        raise ValueError(f"{word}: no column {word.column!r}; the columns are {', '.join(columns)}")
    if word.column is not None or len(columns) == 1:
        return word.column or columns[0]
    if "text" in columns:
        return "text"
    raise ValueError(
        f"{word}: which column holds the texts? Name it: {word}#{columns[0]}; the columns are "
        f"{', '.join(columns)}"
    )
