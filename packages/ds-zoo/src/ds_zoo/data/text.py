"""Texts: documents of any source, one after the other."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ds_core.data import read_csv
from ds_core.data.hugging_face import stream_hugging_face
from ds_core.data.unpack import unpacked

from ds_zoo.data.tasks import TASKS, make_task
from ds_zoo.data.words import Word, parse, text_column

BUNDLED = {
    "python": "the language reference that Python's help() shows, 465,000 characters of English",
    "sentiment": "sentences that praise or complain, those to learn from",
    **{name: f"lines of a small task, see ds_zoo.data.tasks: {name}" for name in TASKS},
}
BETWEEN = "\n\n"  # two documents
_TEXT_FILES = (".txt", ".md")
_PIECE = 1 << 20  # characters


def read_texts(word: str) -> Iterator[str]:
    """Yields the documents of a data word, none of them empty.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the word is of another kind, a file is not UTF-8, the column of texts is not clear, or
            there is no text at all.
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


def about_texts(word: str) -> list[str]:
    """Returns lines about the texts of a data word: how many, how long, and how they begin."""
    documents = characters = 0
    begins = ""
    for text in read_texts(word):
        documents += 1
        characters += len(text)
        begins = begins or text[:400]
    found = parse(word)
    about = f": {BUNDLED[found.what]}" if found.kind == "bundled" else ""
    count = "1 document" if documents == 1 else f"{documents:,} documents"
    return [f"{found}{about}", f"{count}, {characters:,} characters; it begins:", "", begins]


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
    elif word.kind == "hf":
        data, source = stream_hugging_face(word.what, word.split, f"data {word}")
        columns = data.column_names or list(next(iter(data), {}))
        column = text_column(columns, word)
        for row in data.select_columns([column]):
            if row[column] is not None and not isinstance(row[column], str):
                raise ValueError(f"{source}: expected texts in column {column!r}, got {row[column]!r}")
            yield row[column] or ""
    else:
        raise ValueError(
            "data: expected texts: a text file or folder, csv:FILE, hf:NAME[SPLIT] or bundled:NAME, "
            f"got {str(word)!r}"
        )


def read_pieces(word: str) -> Iterator[str]:
    """Yields the texts of a data word one after the other, in pieces of about a million characters.

    Joined, they are its documents with two line ends between. A file is never read as a whole.

    Raises:
        FileNotFoundError, ValueError, ImportError: as :func:`read_texts` does.
    """
    found = parse(word)
    parts: Iterator[str] = (
        _parts_of_files(_files(Path(found.what))) if found.kind == "text" else _joined(read_texts(word))
    )
    waiting, length = [], 0
    for part in parts:
        waiting.append(part)
        length += len(part)
        if length >= _PIECE:
            yield "".join(waiting)
            waiting, length = [], 0
    if length:
        yield "".join(waiting)


def _joined(texts: Iterator[str]) -> Iterator[str]:
    for number, text in enumerate(texts):
        yield text if number == 0 else BETWEEN + text


def _parts_of_files(paths: Sequence[Path]) -> Iterator[str]:
    """Yields the lines of files, with what stands between two documents between two files."""
    for number, path in enumerate(paths):
        if number:
            yield BETWEEN
        empty = True
        open_it = gzip.open if path.suffix == ".gz" else open
        try:
            with open_it(path, "rt", encoding="utf-8-sig") as file:
                while lines := file.readlines(1 << 16):
                    empty = False
                    yield "".join(lines)
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not UTF-8 text ({error.reason})") from error
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: cut off or damaged ({error})") from error
        if empty:
            raise ValueError(f"{path}: the file is empty; there is nothing to learn from")


def read_text(path: str | Path) -> str:
    """Reads a UTF-8 text file, with or without a byte order mark, which is no part of the text.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is a folder, is empty, cut off or damaged, or is not UTF-8.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; expected a plain text file")
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; give one plain text file")
    try:
        raw = unpacked(path) if path.suffix == ".gz" else path.read_bytes()
        text = raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text (byte {error.start})") from error
    if not text:
        raise ValueError(f"{path}: the file is empty; there is nothing to learn from")
    return text


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in _TEXT_FILES)
    if not found:
        raise ValueError(f"{path}: is a folder without any {' or '.join(_TEXT_FILES)} file")
    return found


def _bundled(name: str) -> Iterator[str]:
    if name not in BUNDLED:
        raise ValueError(f"bundled:{name}: expected one of {', '.join(BUNDLED)}")
    if name in TASKS:
        yield make_task(name).text
    elif name == "python":
        from pydoc_data.topics import topics

        for topic in sorted(topics):
            yield topics[topic]
    else:
        from ds_zoo.data.labelled import read_labelled

        learned, _ = read_labelled(f"bundled:{name}").parts()
        yield from learned.texts
