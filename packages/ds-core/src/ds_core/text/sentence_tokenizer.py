"""SentenceTokenizer: what the tokenizers of sentences share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import Tensor

from ds_core.text.token_ids import token_ids
from ds_core.text.tokenizer_file import read_tokenizer, write_tokenizer
from ds_core.text.vocabulary import Vocabulary


class SentenceTokenizer(ABC):
    """Turns a sentence into token ids and back; for models that read and write whole sentences.

    Of every kind, ``train`` learns the tokens from sentences, and the first four ids are the special tokens
    of :class:`Vocabulary`. Unlike the tokenizers of running text (:class:`CharTokenizer`), none ever refuses
    a text: what is unknown becomes ``<unk>``.
    """

    kind: ClassVar[str]
    pad_id = Vocabulary.pad_id
    unk_id = Vocabulary.unk_id
    bos_id = Vocabulary.bos_id
    eos_id = Vocabulary.eos_id

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """Counts the tokens, the special ones included."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Returns the ids of a sentence, without ``<bos>`` and ``<eos>``."""

    def decode(self, ids: Iterable[int] | Tensor) -> str:
        """Returns the sentence, up to the first ``<eos>``.

        ``<pad>`` and ``<bos>`` are left out; ``<unk>`` is shown, since a word is missing there.

        Raises:
            IndexError: if an id is none of the tokenizer's.
        """
        places = token_ids(type(self).__name__, ids, self.vocab_size, end=self.eos_id)
        return self._text([place for place in places if place not in (self.pad_id, self.bos_id)])

    @abstractmethod
    def _text(self, ids: list[int]) -> str:
        """Returns the text of ids that are neither ``<pad>``, ``<bos>`` nor ``<eos>``."""

    @abstractmethod
    def _content(self) -> Any:
        """Returns what JSON must keep."""

    @classmethod
    @abstractmethod
    def _from_content(cls, content: Any) -> Self:
        """Makes the tokenizer from what JSON kept."""

    def save(self, path: str | Path) -> None:
        """Writes the tokenizer as JSON, for :meth:`load`."""
        write_tokenizer(path, self.kind, self._content())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads a tokenizer written by :meth:`save`; ``SentenceTokenizer.load`` reads any kind.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file is damaged or not of this kind; names it.
            ImportError: if the kind needs a package that is missing.
        """
        return read_tokenizer(path, {kind.kind: kind._from_content for kind in _kinds(cls)})

    def __repr__(self) -> str:
        """Shows the number of tokens."""
        return f"{type(self).__name__}({self.vocab_size} tokens)"


def _kinds(cls: type[Any]) -> list[type[Any]]:
    """Returns the class, if it has a kind, and all below it that have one."""
    below = [kind for child in cls.__subclasses__() for kind in _kinds(child)]
    return ([cls] if hasattr(cls, "kind") else []) + below
