"""A corpus as tokens: in memory where it is small, else in a file mapped into memory, made once.

Such a file holds the ids one after the other, four bytes each, the lowest first. It lies in the folder that
``DS_CACHE`` names, else in ``~/.cache/deepscratch``, under a name made of the data word, the size and time of
the files it names, and the tokenizer; beside it a small JSON file says how far it is: what is begun and
interrupted is gone on with. It may be removed at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy
import torch
from ds_core.text import BPETokenizer, ByteTokenizer, CharacterTokenizer, Tokenizer, WordPieceTokenizer
from ds_core.training.files import read_json, write_text
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from ds_zoo.data.text import read_pieces
from ds_zoo.data.words import parse

SMALL = 1 << 24  # so many tokens are kept in memory
LEARNT_FROM = 100  # pieces, of a million characters each, that pieces of words are learnt from
_EVERY = 16  # pieces between two notes of how far the file is
_NUMBER = numpy.dtype("<i4")


class Corpus(NamedTuple):
    """A text as tokens.

    Attributes:
        ids: ``(T,)`` int32; in memory, or in a file mapped into it.
        text: tells this text from others.
        file: where the ids lie; None if in memory.
    """

    ids: Tensor
    text: str
    file: Path | None


def make_tokenizer(kind: str, pieces: Iterable[str], vocab_size: int = 4096) -> Tokenizer:
    """Makes the tokenizer of a language model.

    Args:
        kind: "character", "byte", "bpe", "wordpiece", or the place of a published one, see
            :meth:`ds_core.text.Tokenizer.from_pretrained`.
        pieces: the text that characters are listed or pieces of words learnt from.
        vocab_size: the most tokens that may be learnt.

    Raises:
        ValueError: if the kind is none of these, or the file is damaged.
    """
    if kind == CharacterTokenizer.kind:
        known: set[str] = set()
        for piece in pieces:
            known.update(piece)
        return CharacterTokenizer.from_text("".join(sorted(known)))
    if kind == ByteTokenizer.kind:
        return ByteTokenizer()
    for learnt in (BPETokenizer, WordPieceTokenizer):
        if kind == learnt.kind:
            return learnt.train(islice(pieces, LEARNT_FROM), vocab_size)
    if Path(kind).exists():
        return Tokenizer.from_pretrained(kind)
    raise ValueError(
        "tokenizer: expected 'character', 'byte', 'bpe', 'wordpiece' or the place of a published one, got "
        f"{kind!r}"
    )


def read_corpus(word: str, tokenizer: Tokenizer, *, progress: bool = True, small: int = SMALL) -> Corpus:
    """Turns the texts of a data word into tokens.

    Args:
        word: the data word.
        tokenizer: what one token is.
        progress: whether to show it.
        small: the most tokens to be kept in memory.

    Raises:
        ValueError: if there is no text, or the tokenizer does not know something in it.
    """
    file = cache_folder() / f"{_key(word, tokenizer)}.tokens"
    note = file.with_suffix(".json")
    done = read_json(note, "a note of a corpus") if note.is_file() and file.is_file() else {}
    if done.get("whole"):
        return Corpus(_mapped(file, int(done["tokens"])), str(done["text"]), file)

    text, waiting, tokens = hashlib.sha256(), [], 0
    skipped = int(done.get("pieces", 0))
    stored = int(done.get("tokens", 0))  # in the file
    pieces = enumerate(read_pieces(word), 1)
    number = 0
    for number, piece in _shown(pieces, word, progress):
        text.update(piece.encode("utf-8", "surrogatepass"))
        if number <= skipped:
            continue
        ids = numpy.asarray(tokenizer.encode(piece), dtype=_NUMBER)
        waiting.append(ids)
        tokens += len(ids)
        if stored + tokens > small and (stored == 0 or number % _EVERY == 0):
            stored, tokens = _append(file, waiting, stored), 0
            waiting = []
            write_text(note, json.dumps({"pieces": number, "tokens": stored, "whole": False}))
    named = text.hexdigest()[:16]
    if not number:
        raise ValueError(f"{word}: there is no text in it; there is nothing to learn from")
    if stored == 0:
        return Corpus(torch.from_numpy(numpy.concatenate(waiting)), named, None)
    stored = _append(file, waiting, stored)
    written = {"pieces": number, "tokens": stored, "whole": True, "text": named, "data": word}
    write_text(note, json.dumps(written))
    return Corpus(_mapped(file, stored), named, file)


def cache_folder() -> Path:
    """Returns the folder of token files."""
    home = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("DS_CACHE", f"{home}/deepscratch")).expanduser() / "tokens"


def _append(file: Path, arrays: list[numpy.ndarray], stored: int) -> int:
    """Writes ids behind the first ``stored`` ones of the file; returns how many there are then."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("r+b" if file.exists() else "w+b") as opened:
        opened.truncate(stored * _NUMBER.itemsize)  # what was written and not noted
        opened.seek(0, os.SEEK_END)
        for ids in arrays:
            opened.write(ids.tobytes())
        opened.flush()
        os.fsync(opened.fileno())
    return stored + sum(map(len, arrays))


def _mapped(file: Path, tokens: int) -> Tensor:
    if file.stat().st_size != tokens * _NUMBER.itemsize:
        raise ValueError(f"{file}: damaged: expected {tokens:,} tokens; remove it, and it is made anew")
    return torch.from_numpy(numpy.memmap(file, dtype=_NUMBER, mode="c"))  # c: nothing is ever written


def _key(word: str, tokenizer: Tokenizer) -> str:
    """Returns what a file of tokens is called after: data, the files they are in, and tokenizer."""
    what, files = Path(parse(word).what), []
    if what.exists():
        found = sorted(path for path in what.rglob("*") if path.is_file()) if what.is_dir() else [what]
        files = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in found]
    described = json.dumps([word, files, tokenizer.file_text()])
    return hashlib.sha256(described.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _shown(pieces: Iterator[tuple[int, str]], word: str, progress: bool) -> Iterator[tuple[int, str]]:
    """Shows how far the reading is."""
    parsed = parse(word)
    total = None
    if parsed.kind == "text" and Path(parsed.what).is_file():
        total = Path(parsed.what).stat().st_size
    columns = (TextColumn("reading {task.fields[read]}"), BarColumn(), TimeRemainingColumn())
    console = Console(emoji=False, stderr=True)
    with Progress(
        *columns, transient=True, console=console, disable=not (progress and console.is_terminal)
    ) as bar:
        task = bar.add_task("", total=total, read="")
        count = 0
        for number, piece in pieces:
            yield number, piece
            count += len(piece)
            bar.update(task, advance=len(piece), read=f"{count:,} characters")
