"""What a tokenizer is asked to decode, to encode or to learn from, checked."""

from __future__ import annotations

import operator
from collections.abc import Iterable

from torch import Tensor

from ds_core.checks import shown

_ALL_BYTES = [*range(0x800), 0x800, *range(0x1000, 0x10000, 0x1000), *range(0x10000, 0x110000, 0x30000)]
# What a tokenizer that gives every text back must give back: all bytes that UTF-8 has, capitals, accents with
# their letter and apart, spaces at both ends and at none, names of special tokens.
PROBES = (
    " A \u00e9\n\n \u2581\U0001f642 <|endoftext|>1,000<eos>",
    "".join(map(chr, _ALL_BYTES)) + "e\u0301\ufb01 ",
)


def token_ids(who: str, ids: Iterable[int] | Tensor, vocab_size: int, end: int | None = None) -> list[int]:
    """Returns ids as whole numbers, up to the first that is ``end``, without it.

    Raises:
        TypeError: if they are not whole numbers.
        IndexError: if one is not from 0 to vocab_size - 1.
    """
    try:
        found = [operator.index(i) for i in (ids.tolist() if isinstance(ids, Tensor) else ids)]
    except TypeError as error:
        raise TypeError(f"{who}: expected token ids (T,), whole numbers, got {ids!r}") from error
    if end in found:
        found = found[: found.index(end)]
    for i in found:
        if not 0 <= i < vocab_size:
            raise IndexError(f"{who}: expected ids from 0 to {vocab_size - 1}, got {i}")
    return found


def check_texts(who: str, texts: Iterable[str]) -> None:
    """Checks that there are several texts, not one, of which each character would be one.

    Raises:
        TypeError: if it is one text.
    """
    if isinstance(texts, str):
        raise TypeError(f"{who}: expected a list of texts, got one text; write [text]")


def check_text(who: str, text: str) -> None:
    """Checks that what is to be encoded is a text.

    Raises:
        TypeError: if it is anything else, a list of texts say.
    """
    if not isinstance(text, str):
        raise TypeError(f"{who}: expected a text, got {shown(text)}")


def utf8(who: str, text: str) -> bytes:
    """Returns a text in UTF-8.

    Raises:
        TypeError: if it is no text.
        ValueError: if it holds half a character (a lone surrogate), which UTF-8 cannot write.
    """
    check_text(who, text)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{who}: expected a text that UTF-8 can write, got {text[error.start]!r} at position "
            f"{error.start}"
        ) from error
