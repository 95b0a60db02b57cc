"""Tokenizers that need no training: one token a character, or one token a byte."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ds_core.text.token_ids import token_ids, utf8
from ds_core.text.tokenizer_file import read_tokenizer, write_tokenizer


class Tokenizer(Protocol):
    """Turns text into token ids and back."""

    kind: str

    @property
    def vocab_size(self) -> int:
        """Counts the different tokens; ids run from 0 to one less."""

    def encode(self, text: str) -> Tensor:
        """Returns the token ids ``(T,)``, int64."""

    def decode(self, ids: Iterable[int] | Tensor) -> str:
        """Returns the text of token ids."""

    def save(self, path: str | Path) -> None:
        """Writes the tokenizer as JSON, for :func:`load_tokenizer`."""


class CharTokenizer:
    """One token for each character of a vocabulary.

    Args:
        vocabulary: the characters, in the order of their ids; see :meth:`from_text`.

    Raises:
        TypeError: if the vocabulary is no text.
        ValueError: if it is empty or names a character twice.
    """

    kind = "char"

    def __init__(self, vocabulary: str) -> None:
        if not isinstance(vocabulary, str):
            raise TypeError(f"CharTokenizer: expected characters, a str, got {type(vocabulary).__name__}")
        if not vocabulary:
            raise ValueError("CharTokenizer: expected at least one character, got an empty vocabulary")
        self.vocabulary = vocabulary
        self._ids = {character: place for place, character in enumerate(vocabulary)}
        if len(self._ids) != len(vocabulary):
            raise ValueError("CharTokenizer: expected every character once, got some twice")

    @classmethod
    def from_text(cls, text: str) -> CharTokenizer:
        """Takes the characters that occur in a text, sorted."""
        return cls("".join(sorted(set(text))))

    @property
    def vocab_size(self) -> int:
        """Counts the characters."""
        return len(self.vocabulary)

    def encode(self, text: str) -> Tensor:
        """Returns the ids ``(T,)``.

        Raises:
            ValueError: if a character is not in the vocabulary; names it and its place.
        """
        try:
            return torch.tensor([self._ids[character] for character in text], dtype=torch.int64)
        except KeyError as error:
            character = error.args[0]
            raise ValueError(
                f"CharTokenizer: character {character!r} at position {text.index(character)} is not "
                f"among the {self.vocab_size} characters of the training text"
            ) from None

    def decode(self, ids: Iterable[int] | Tensor) -> str:
        """Returns the text.

        Raises:
            IndexError: if an id is none of the tokenizer's.
        """
        return "".join(self.vocabulary[place] for place in token_ids("CharTokenizer", ids, self.vocab_size))

    def save(self, path: str | Path) -> None:
        """Writes kind and vocabulary as JSON."""
        write_tokenizer(path, self.kind, self.vocabulary)


class ByteTokenizer:
    """One token for each of the 256 bytes of UTF-8, so that nothing is ever unknown."""

    kind = "byte"
    vocab_size = 256

    def encode(self, text: str) -> Tensor:
        """Returns the bytes of the UTF-8 text ``(T,)``.

        Raises:
            ValueError: if the text holds half a character, which UTF-8 cannot write.
        """
        return torch.tensor(list(utf8("ByteTokenizer", text)), dtype=torch.int64)

    def decode(self, ids: Iterable[int] | Tensor) -> str:
        """Returns the text; bytes that are no valid UTF-8 become U+FFFD.

        Raises:
            IndexError: if an id is no byte.
        """
        return bytes(token_ids("ByteTokenizer", ids, self.vocab_size)).decode("utf-8", errors="replace")

    def save(self, path: str | Path) -> None:
        """Writes the kind as JSON."""
        write_tokenizer(path, self.kind, None)


def load_tokenizer(path: str | Path) -> Tokenizer:
    """Reads a tokenizer written by ``save``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged or not one of ours; names it.
    """
    kinds: dict[str, Callable[[Any], Tokenizer]] = {
        ByteTokenizer.kind: lambda content: ByteTokenizer(),
        CharTokenizer.kind: CharTokenizer,
    }
    return read_tokenizer(path, kinds)
