"""VocabularyTokenizer: tokens cut out of the text by a rule, and numbered by a vocabulary."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Self

from ds_core.text.sentence_tokenizer import SentenceTokenizer
from ds_core.text.vocabulary import Vocabulary


class VocabularyTokenizer(SentenceTokenizer):
    """Base of the tokenizers that cut a text by a rule: ``split`` and its inverse, ``join``.

    Args:
        vocabulary: the tokens that are known.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary

    @classmethod
    def train(cls, texts: Iterable[str], min_count: int = 1, max_size: int | None = None) -> Self:
        """Lists the tokens of sentences; see :meth:`Vocabulary.build`."""
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
        return len(self.vocabulary)

    def encode(self, text: str) -> list[int]:
        return [self.vocabulary.id(token) for token in self.split(text)]

    def _text(self, ids: list[int]) -> str:
        return self.join([self.vocabulary.token(place) for place in ids])

    def _content(self) -> list[str]:
        return self.vocabulary.tokens

    @classmethod
    def _from_content(cls, content: list[str]) -> Self:
        if not isinstance(content, list):
            raise TypeError(f"expected a list of tokens, got {type(content).__name__}")
        return cls(Vocabulary(content))
