"""Texts: documents of any source, one after the other."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path

from ds_core.data import read_csv
from ds_core.data.hugging_face import open_hugging_face

from ds_zoo.data.words import Word, parse

BUNDLED = {"python": "the language reference that Python's help() shows, 465,000 characters of English"}
BETWEEN = "\n\n"  # two documents
_TEXT_FILES = (".txt", ".md")


def read_texts(word: str) -> Iterator[str]:
    """Yields the documents of a data word, none of them empty.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a file is not UTF-8, the column of texts is not clear, or there is no text at all.
        ImportError: if the package `datasets` is needed and missing.
    """
    found = parse(word)
    none = True
    for text in _documents(found):
        if text:
            none = False
            yield text
    if none:
        raise ValueError(f"{word}: there is no text in it; there is nothing to learn from")


def _documents(word: Word) -> Iterator[str]:
    if word.kind == "text":
        for path in _files(Path(word.what)):
            yield read_text(path)
    elif word.kind == "bundled":
        yield from _bundled(word.what)
    elif word.kind == "csv":
        table = read_csv(word.what, missing_cells=("",))
        column = text_column(list(table.columns), word)
        yield from (cell for cell in table.columns[column] if cell is not None)
    else:
        data, source = open_hugging_face(word.what, word.split, None)
        column = text_column(data.column_names, word)
        for row in data.select_columns([column]):
            if row[column] is not None and not isinstance(row[column], str):
                raise ValueError(f"{source}: expected texts in column {column!r}, got {row[column]!r}")
            yield row[column]


def read_text(path: str | Path) -> str:
    """Reads a UTF-8 text file, with or without a byte order mark, which is no part of the text.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is a folder, is empty, or is not UTF-8.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; give a plain text file to learn from")
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; give one plain text file")
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text (byte {error.start})") from error
    if not text:
        raise ValueError(f"{path}: the file is empty; there is nothing to learn from")
    return text


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


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in _TEXT_FILES)
    if not found:
        raise ValueError(f"{path}: is a folder without any {' or '.join(_TEXT_FILES)} file")
    return found


def _bundled(name: str) -> Iterator[str]:
    if name != "python":
        raise ValueError(f"bundled:{name}: expected one of {', '.join(BUNDLED)}")
    from pydoc_data.topics import topics

    for topic in sorted(topics):
        yield topics[topic]
