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
from ds_core.training.files import read_json, write_text

VOCABULARY_FILE = "vocabulary.json"  # ours, of any kind
PUBLISHED_FILE = "tokenizer.json"  # of the package `tokenizers`
SETTINGS_FILE = "tokenizer_config.json"


class Tokenizer(ABC):
    """Turns a text into token ids and back.

    Of those with special tokens, for models that read and write whole sentences, the first four ids are the
    special tokens of :class:`Vocabulary`, and none ever refuses a text: what is unknown becomes ``<unk>``.
    Those without, for models of running text, refuse a text with something unknown, but BERT's word pieces,
    which have special tokens of their own.

    Attributes:
        kind: what its file calls it.
        specials: whether it has the special tokens.
        published_as: what ``tokenizer.json`` calls it; None if there are no such files of its kind.
        published_in: the older files that hold it.
    """

    kind: ClassVar[str]
    published_as: ClassVar[str | None] = None
    published_in: ClassVar[tuple[str, ...]] = ()
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
            TypeError: if it is no text.
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

    @classmethod
    def from_pretrained(cls, place: str | Path) -> Self:
        """Reads a published tokenizer, or what :meth:`save_pretrained` wrote.

        ``tokenizer.json``, or else ``vocab.json`` and ``merges.txt`` (byte-pair encoding) or ``vocab.txt``
        (word pieces); ``vocabulary.json``, of any kind, if it is there. ``Tokenizer.from_pretrained`` reads
        them all, each kind its own.

        Args:
            place: a folder that holds them, or a file ``tokenizer.json`` or ``vocabulary.json``.

        Raises:
            FileNotFoundError: if there are none.
            ValueError: names a file that is damaged or of another kind.
            ImportError: if the package `tokenizers` is missing.
        """
        place = Path(place)
        folder = place if place.is_dir() else place.parent
        kinds = [kind for kind in _kinds(cls) if kind.published_as is not None]
        for file in [folder / VOCABULARY_FILE, folder / PUBLISHED_FILE] if place.is_dir() else [place]:
            if file.is_file():
                content = read_json(file, "a tokenizer")
                if "kind" in content:
                    return cls.load(file)
                return cls._from_published(content, file, kinds)
        for kind in kinds if place.is_dir() else []:
            if all((folder / name).is_file() for name in kind.published_in):
                made: Self = kind._from_folder(folder)
                return made
        names = [PUBLISHED_FILE, *(" and ".join(kind.published_in) for kind in kinds)]
        raise FileNotFoundError(f"{place}: no tokenizer: neither {' nor '.join(names)}")

    @classmethod
    def _from_published(cls, content: dict[str, Any], file: Path, kinds: list[type[Any]]) -> Self:
        """Makes a tokenizer of what is in ``tokenizer.json``."""
        model = content.get("model")
        parts = model if isinstance(model, dict) else {}
        # Older files do not name it: byte pairs have merges, word pieces a longest word.
        guessed = {"merges": "BPE", "max_input_chars_per_word": "WordPiece"}
        name = parts.get("type") or next((guessed[part] for part in guessed if part in parts), None)
        try:
            for kind in kinds:
                if kind.published_as == name:
                    made: Self = kind(json.dumps(content))
                    return made
            raise ValueError(f"expected {' or '.join(kind.published_as for kind in kinds)}, got {name!r}")
        except ValueError as error:
            raise ValueError(f"{file}: not a tokenizer ({error})") from error

    @classmethod
    def _from_folder(cls, folder: Path) -> Self:
        """Reads the files that :attr:`published_in` names."""
        raise NotImplementedError(f"{cls.__name__} is not published in files of its own")

    def files(self) -> dict[str, str]:
        """Returns name -> text of the files that hold it, as `transformers` reads them if it can."""
        return {VOCABULARY_FILE: self.file_text()}

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes :meth:`files` into a folder, for :meth:`from_pretrained`."""
        for name, text in self.files().items():
            write_text(Path(folder) / name, text)

    def __repr__(self) -> str:
        """Shows the number of tokens."""
        return f"{type(self).__name__}({self.vocab_size} tokens)"


def _kinds(cls: type[Any]) -> list[type[Any]]:
    """Returns the class, if it has a kind, and all below it that have one."""
    below = [kind for child in cls.__subclasses__() for kind in _kinds(child)]
    return ([cls] if hasattr(cls, "kind") else []) + below
