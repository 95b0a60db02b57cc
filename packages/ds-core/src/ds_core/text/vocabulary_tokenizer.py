"""VocabularyTokenizer: tokens cut out of the text by a rule, and numbered by a vocabulary."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Self

from ds_core.text.token_ids import check_text, check_texts
from ds_core.text.tokenizer import Tokenizer
from ds_core.text.vocabulary import Vocabulary


class VocabularyTokenizer(Tokenizer):
    """Base of the tokenizers that cut a text by a rule: ``split`` and its inverse, ``join``.

    Args:
        vocabulary: the tokens that are known.
        specials: whether ids begin with the special tokens, so that what is unknown becomes ``<unk>``.

    Raises:
        ValueError: if there are no tokens at all.
    """

    def __init__(self, vocabulary: Vocabulary, specials: bool = True) -> None:
        if not (vocabulary.tokens or specials):
            raise ValueError(f"{type(self).__name__}: expected at least one token, got an empty vocabulary")
        self.vocabulary, self.specials = vocabulary, specials
        self._first = 0 if specials else len(Vocabulary.specials)  # what has the id 0

    @classmethod
    def train(cls, texts: Iterable[str], min_count: int = 1, max_size: int | None = None) -> Self:
        """Lists the tokens of sentences; see :meth:`Vocabulary.build`.

        Raises:
            TypeError: if it is one text.
        """
        check_texts(f"{cls.__name__}.train", texts)
        return cls(Vocabulary.build(map(cls.split, texts), min_count, max_size))

    @staticmethod
    @abstractmethod
    def split(text: str) -> list[str]:
        """Cuts a text into tokens."""

    @staticmethod
    @abstractmethod
    def join(tokens: Sequence[str]) -> str:
        """Puts tokens together to a text."""

    @property
    def vocab_size(self) -> int:
        return len(self.vocabulary) - self._first

    def encode(self, text: str) -> list[int]:
        check_text(type(self).__name__, text)
        return self._ids(self.split(text))

    def _ids(self, tokens: list[str]) -> list[int]:
        """Returns the ids of tokens."""
        if not self.specials:
            for place, token in enumerate(tokens):
                if self.vocabulary.id(token) < self._first:
                    raise ValueError(
                        f"{type(self).__name__}: token {token!r} at position {place} is not among the "
                        f"{self.vocab_size} of the training text"
                    )
        return [self.vocabulary.id(token) - self._first for token in tokens]

    def _text(self, ids: list[int]) -> str:
        return self.join([self.vocabulary.token(place + self._first) for place in ids])

    def _content(self) -> dict[str, Any]:
        return {"tokens": self.vocabulary.tokens, "specials": self.specials}

    @classmethod
    def _from_content(cls, content: Any) -> Self:
        tokens, specials = content["tokens"], content["specials"]
        if not isinstance(tokens, list) or not isinstance(specials, bool):
            raise TypeError(f"expected a list of tokens and specials true or false, got {content!r}")
        return cls(Vocabulary(tokens), specials)
