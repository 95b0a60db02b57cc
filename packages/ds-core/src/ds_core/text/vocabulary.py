"""Vocabulary: the tokens a model knows, each with its number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ds_core.checks import check_whole


class Vocabulary:
    """Numbers tokens: four special ones first, then those that occur in the training text.

    ``<pad>`` 0 fills short rows of a batch, ``<unk>`` 1 stands for every token not listed, ``<bos>`` 2 and
    ``<eos>`` 3 begin and end a sentence.

    Args:
        tokens: the ordinary tokens, in the order of their ids, which begin with 4. The list is all there is
            to save: ``Vocabulary(vocabulary.tokens)`` is the same vocabulary.

    Raises:
        TypeError: if the tokens are not texts.
        ValueError: if a token comes twice or is one of the special ones.

    Example:
        >>> vocabulary = Vocabulary.build([["a", "cat"], ["a", "dog"]])
        >>> vocabulary.id("a"), vocabulary.id("bird"), vocabulary.token(4)
        (4, 1, 'a')
    """

    specials = ("<pad>", "<unk>", "<bos>", "<eos>")
    pad_id, unk_id, bos_id, eos_id = range(4)

    def __init__(self, tokens: Sequence[str]) -> None:
        if isinstance(tokens, str) or not all(isinstance(token, str) and token for token in tokens):
            raise TypeError("Vocabulary: expected a list of tokens, each a text and none empty")
        self.tokens = list(tokens)
        self._all = [*self.specials, *self.tokens]
        self._ids = {token: place for place, token in enumerate(self._all)}
        if len(self._ids) < len(self._all):
            twice = next(token for place, token in enumerate(self._all) if self._ids[token] != place)
            raise ValueError(
                f"Vocabulary: expected every token once, and none of {', '.join(self.specials)}; "
                f"got {twice!r} again"
            )

    @classmethod
    def build(
        cls, token_lists: Iterable[Iterable[str]], min_count: int = 1, max_size: int | None = None
    ) -> Vocabulary:
        """Takes the tokens of the training part, the most frequent first, equally frequent ones in order.

        Args:
            token_lists: the tokens of each sentence.
            min_count: how often a token must occur to be listed.
            max_size: the largest size, the special tokens included; None for no limit.

        Raises:
            ValueError: if a number is too small.
        """
        check_whole("Vocabulary.build", min_count=min_count)
        if max_size is not None:
            check_whole("Vocabulary.build", max_size=max_size)
        if max_size is not None and max_size <= len(cls.specials):
            raise ValueError(
                f"Vocabulary.build: expected max_size above the {len(cls.specials)} special tokens, or None, "
                f"got {max_size}"
            )
        counts = Counter(token for tokens in token_lists for token in tokens)
        for special in cls.specials:
            del counts[special]
        frequent = [token for token, count in counts.items() if count >= min_count]
        frequent.sort(key=lambda token: (-counts[token], token))
        return cls(frequent if max_size is None else frequent[: max_size - len(cls.specials)])

    def id(self, token: str) -> int:
        """Returns a token's id, that of ``<unk>`` if it is not listed."""
        return self._ids.get(token, self.unk_id)

    def token(self, id: int) -> str:
        """Returns the token of an id.

        Raises:
            IndexError: if there is no such id.
        """
        if not 0 <= id < len(self):
            raise IndexError(f"Vocabulary: expected an id from 0 to {len(self) - 1}, got {id}")
        return self._all[id]

    def __len__(self) -> int:
        """Counts the tokens, the special ones included."""
        return len(self._all)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def __repr__(self) -> str:
        """Shows the size and the most frequent tokens."""
        dots = ", ..." if len(self.tokens) > 5 else ""
        return f"Vocabulary({len(self)} tokens: {', '.join(map(repr, self.tokens[:5]))}{dots})"
