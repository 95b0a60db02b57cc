"""Tokenizer: what all tokenizers share."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import Tensor

from ds_core.text.token_ids import token_ids
from ds_core.text.tokenizer_file import made_tokenizer, read_tokenizer, tokenizer_text
from ds_core.text.vocabulary import Vocabulary
from ds_core.training.files import write_text


class Tokenizer(ABC):
    """Turns a text into token ids and back.

    Of those with special tokens, for models that read and write whole sentences, the first four ids are the
    special tokens of :class:`Vocabulary`, and none ever refuses a text: what is unknown becomes ``<unk>``.
    Those without, for models of running text, refuse a text with something unknown.

    Attributes:
        kind: what its file calls it.
        specials: whether it has the special tokens.
    """

    kind: ClassVar[str]
    specials: bool = True
    pad_id = Vocabulary.pad_id
    unk_id = Vocabulary.unk_id
    bos_id = Vocabulary.bos_id
    eos_id = Vocabulary.eos_id

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Counts the tokens, the special ones included; ids run from 0 to one less."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Returns the ids of a text, without ``<bos>`` and ``<eos>``.

        Raises:
            ValueError: if something in it is unknown and there are no special tokens, or it holds half a
                character.
        """

    def decode(self, ids: Iterable[int] | Tensor) -> str:
        """Returns the text of ids; with special tokens, up to the first ``<eos>``.

        ``<pad>`` and ``<bos>`` are left out; ``<unk>`` is shown, since something is missing there.

        Raises:
            IndexError: if an id is not one of the tokenizer's.
        """
        places = token_ids(type(self).__name__, ids, self.vocab_size, self.eos_id if self.specials else None)
        if self.specials:
            places = [place for place in places if place not in (self.pad_id, self.bos_id)]
        return self._text(places)

    @abstractmethod
    def _text(self, ids: list[int]) -> str:
        """Returns the text of ids, none of them ``<pad>``, ``<bos>`` or ``<eos>``."""

    @abstractmethod
    def _content(self) -> Any:
        """Returns what JSON must keep."""

    @classmethod
    @abstractmethod
    def _from_content(cls, content: Any) -> Self:
        """Makes the tokenizer from what JSON kept."""

    def save(self, path: str | Path) -> None:
        """Writes the tokenizer as JSON, for :meth:`load`."""
        write_text(path, self.file_text())

    def file_text(self) -> str:
        """Returns what :meth:`save` writes."""
        return tokenizer_text(self.kind, self._content())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads a tokenizer written by :meth:`save`; ``Tokenizer.load`` reads any kind.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file is damaged or not of this kind; names it.
            ImportError: if the kind needs a package that is missing.
        """
        return read_tokenizer(path, {kind.kind: kind._from_content for kind in _kinds(cls)})

    @classmethod
    def from_file_text(cls, text: str, where: str) -> Self:
        """Makes a tokenizer of what :meth:`file_text` gave; ``Tokenizer.from_file_text`` makes any kind.

        Args:
            text: of the file.
            where: it is from, for errors.

        Raises:
            ValueError: if it is damaged or not of this kind; names ``where`` it is from.
        """
        try:
            saved = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{where}: not a tokenizer file ({error})") from error
        return made_tokenizer(saved, {kind.kind: kind._from_content for kind in _kinds(cls)}, where)

    def __repr__(self) -> str:
        """Shows the number of tokens."""
        return f"{type(self).__name__}({self.vocab_size} tokens)"


def _kinds(cls: type[Any]) -> list[type[Any]]:
    """Returns the class, if it has a kind, and all below it that have one."""
    below = [kind for child in cls.__subclasses__() for kind in _kinds(child)]
    return ([cls] if hasattr(cls, "kind") else []) + below
