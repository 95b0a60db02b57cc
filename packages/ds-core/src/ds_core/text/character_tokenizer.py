"""CharacterTokenizer: one token for each character of a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from ds_core.text.vocabulary_tokenizer import VocabularyTokenizer


class CharacterTokenizer(VocabularyTokenizer):
    """Cuts a sentence into its characters, spaces included.

    Args:
        vocabulary: the characters that are known.

    Example:
        >>> tokenizer = CharacterTokenizer.train(["a cat"])
        >>> tokenizer.decode(tokenizer.encode("cat"))
        'cat'
    """

    kind = "character"

    @staticmethod
    def split(text: str) -> list[str]:
        return list(text)

    @staticmethod
    def join(tokens: Sequence[str]) -> str:
        return "".join(tokens)
