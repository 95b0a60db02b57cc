"""CharacterTokenizer: one token for each character."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from ds_core.text.vocabulary import Vocabulary
from ds_core.text.vocabulary_tokenizer import VocabularyTokenizer


class CharacterTokenizer(VocabularyTokenizer):
    """Cuts a text into its characters, spaces included.

    :meth:`train` makes it for sentences, with special tokens; :meth:`from_text` for running text, without.

    Args:
        vocabulary: the characters that are known.
        specials: whether ids begin with the special tokens, so that what is unknown becomes ``<unk>``.

    Raises:
        ValueError: if a token is not one character, or there are none at all.

    Example:
        >>> tokenizer = CharacterTokenizer.train(["a cat"])
        >>> tokenizer.decode(tokenizer.encode("cat"))
        'cat'
    """

    kind = "character"

    def __init__(self, vocabulary: Vocabulary, specials: bool = True) -> None:
        longer = next((token for token in vocabulary.tokens if len(token) != 1), None)
        if longer is not None:
            raise ValueError(f"CharacterTokenizer: expected tokens of one character, got {longer!r}")
        super().__init__(vocabulary, specials)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Takes the characters that occur in a running text, sorted, and no special tokens."""
        return cls(Vocabulary(sorted(set(text))), specials=False)

    @staticmethod
    def split(text: str) -> list[str]:
        return list(text)

    @staticmethod
    def join(tokens: Sequence[str]) -> str:
        return "".join(tokens)
