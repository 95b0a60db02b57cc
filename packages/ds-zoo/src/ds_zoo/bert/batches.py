"""Texts in batches, as BERT learns from them: with hidden words, in pairs, or with labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from ds_core.data.fingerprint import fingerprint
from ds_core.text import WordPieceTokenizer
from ds_core.text.pair_batches import pad
from torch import Tensor

from ds_zoo.bert.heads import NO_TARGET
from ds_zoo.bert.masking import mask_tokens
from ds_zoo.data.rows import RowBatches

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class MaskedBatches(RowBatches):
    """Rows with hidden tokens, hidden anew in each epoch; see :func:`mask_tokens`.

    Rows of which no word is known are left out: there is nothing to hide.

    Args:
        rows: token ids and, of each, the number of the word it is a piece of, ``(T,)`` both; see
            :func:`cut_rows`.
        tokenizer: whose ids they are.
        max_tokens: in a batch.
        whole_words: whether all pieces of a word are hidden together.
        probability: of each token, or word; above 0.
        shuffle: whether every epoch has an order, and hidden tokens, of its own.
        seed: of both.

    Raises:
        ValueError: if no word is known of any row, the probability is out of range, or as
            :class:`RowBatches` says.

    Yields:
        The inputs of :class:`MiniBERTForMaskedLM`, the last of them ``sparse_prediction``, and as target the
        hidden tokens alone, ``(M,)``.
    """

    def __init__(
        self,
        rows: Sequence[tuple[Tensor, Tensor]],
        tokenizer: WordPieceTokenizer,
        max_tokens: int,
        *,
        whole_words: bool = True,
        probability: float = 0.15,
        shuffle: bool = True,
        seed: int = 0,
    ) -> None:
        if not 0 < probability <= 1:
            raise ValueError(
                f"MaskedBatches: expected a probability above 0 and at most 1, got {probability}"
            )
        special = torch.tensor(tokenizer.special_ids)
        known = [row for row in rows if not torch.isin(row[0], special).all()]
        if rows and not known:
            raise ValueError("MaskedBatches: expected texts with words to hide, but no word of them is known")
        super().__init__([ids for ids, _ in known], tokenizer.pad_id, max_tokens, shuffle=shuffle, seed=seed)
        self.words = [words for _, words in known]
        self.tokenizer, self.whole_words, self.probability = tokenizer, whole_words, probability

    def batch(self, numbers: list[int], generator: torch.Generator) -> tuple[Any, ...]:
        ids, mask = self.padded([self.rows[number] for number in numbers])
        words, _ = pad([self.words[number] for number in numbers], -1)
        labels = torch.full_like(ids, NO_TARGET)
        while (labels == NO_TARGET).all():  # by chance a batch of short texts may have none hidden
            hidden, labels = mask_tokens(
                ids,
                mask_id=self.tokenizer.mask_id,
                vocab_size=self.tokenizer.vocab_size,
                special_ids=self.tokenizer.special_ids,
                words=words if self.whole_words else None,
                probability=self.probability,
                generator=generator,
            )
        return hidden, mask, None, labels, True, labels[labels != NO_TARGET]

    def part(self, batch: Sequence[Any], rows: slice) -> tuple[Any, ...]:
        """Returns some rows of a batch, and their hidden tokens, for one of several processes."""
        hidden, mask, types, labels, sparse, _ = batch
        own = labels[rows]
        return hidden[rows], mask[rows], types, own, sparse, own[own != NO_TARGET]

    def asked(self) -> tuple[list[Tensor], list[Tensor]]:
        """Returns the rows of the first epoch and their labels, each ``(T,)``, batch after batch."""
        rows, labels = [], []
        for numbers, batch in zip(self._order(0), self.batches(0, 0), strict=True):
            for number, row in zip(numbers, batch[3], strict=True):
                rows.append(self.rows[number])
                labels.append(row[: len(rows[-1])])
        return rows, labels

    def setting(self) -> dict[str, Any]:
        return {**super().setting(), "whole_words": self.whole_words, "probability": self.probability}


class LabelledBatches(RowBatches):
    """Rows and the number of each one's label.

    Args:
        rows: token ids, each ``(T,)``.
        labels: a number for each.
        pad_id: fills up short rows.
        max_tokens: in a batch.
        shuffle: whether every epoch has an order of its own.
        seed: of these orders.
        sep_id: what ends the first of two texts in a row; None if rows are of one text.

    Yields:
        The inputs of :class:`MiniBERTForSequenceClassification`, labels among them, and the labels ``(B,)``.
    """

    def __init__(
        self,
        rows: Sequence[Tensor],
        labels: Sequence[int],
        pad_id: int,
        max_tokens: int,
        *,
        shuffle: bool = True,
        seed: int = 0,
        sep_id: int | None = None,
    ) -> None:
        super().__init__(rows, pad_id, max_tokens, shuffle=shuffle, seed=seed)
        self.labels, self.sep_id = torch.tensor(labels), sep_id

    def batch(self, numbers: list[int], generator: torch.Generator) -> tuple[Any, ...]:
        ids, mask = self.padded([self.rows[number] for number in numbers])
        labels = self.labels[numbers]
        types = None
        if self.sep_id is not None:  # 1 from behind the first [SEP] on
            ends = (ids == self.sep_id).long()
            types = (ends.cumsum(1) - ends).clamp(max=1) * mask
        return ids, mask, types, labels, labels

    def fingerprint(self) -> str:
        return super().fingerprint() + fingerprint([self.labels])


def cut_rows(
    texts: Sequence[str], tokenizer: WordPieceTokenizer, context: int
) -> list[tuple[Tensor, Tensor]]:
    """Cuts texts into rows of at most ``context`` tokens, each begun by [CLS] and ended by [SEP].

    Returns:
        Of each row its token ids and, of each token, the number of the word it is a piece of, -1 at [CLS] and
        [SEP], ``(T,)`` both.

    Raises:
        ValueError: if ``context`` leaves no room.
    """
    if context < 3:
        raise ValueError(f"cut_rows: expected a context of at least 3 tokens, got {context}")
    rows = []
    around = torch.tensor([tokenizer.cls_id]), torch.tensor([tokenizer.sep_id])
    none = torch.tensor([-1])
    for ids, words in tokenizer.pieces(texts):
        for part, of in zip(ids.split(context - 2), words.split(context - 2), strict=True):
            if len(part):
                rows.append((torch.cat([around[0], part, around[1]]), torch.cat([none, of, none])))
    return rows


def labelled_rows(
    texts: Sequence[str], tokenizer: WordPieceTokenizer, context: int
) -> tuple[list[Tensor], int]:
    """Turns texts into rows, one each, begun by [CLS] and ended by [SEP]; the ends of long ones are cut off.

    Returns:
        Token ids ``(T,)`` of each, and how many texts were cut.

    Raises:
        ValueError: if ``context`` leaves no room, or no word of a text is known.
    """
    if context < 3:
        raise ValueError(f"labelled_rows: expected a context of at least 3 tokens, got {context}")
    around = torch.tensor([tokenizer.cls_id]), torch.tensor([tokenizer.sep_id])
    pieces = tokenizer.known(texts)
    rows = [torch.cat([around[0], ids[: context - 2], around[1]]) for ids in pieces]
    return rows, sum(len(ids) > context - 2 for ids in pieces)


Pairs = tuple[list[Tensor], list[int]]


def next_sentence_pairs(
    texts: Sequence[str], tokenizer: WordPieceTokenizer, context: int, seed: int
) -> Pairs:
    """Makes pairs of sentences: each with the one behind it, and with another one from anywhere.

    Sentences end at a stop, a question mark or an exclamation mark with a space behind it, or with their
    text; those of less than three tokens are passed over. Both have half of the context: of the first one the
    beginning is cut off, of the second the end.

    Args:
        texts: the last sentence of one has no next one.
        tokenizer: cuts them.
        context: the most tokens of a row, [CLS] and twice [SEP] included.
        seed: of which other sentence is taken.

    Returns:
        Rows ``(T,)`` and their labels: 0 if the second sentence is the next one, 1 if not.

    Raises:
        ValueError: if ``context`` leaves no room, or there are no two pairs that differ.
    """
    room = (context - 3) // 2
    if room < 1:
        raise ValueError(f"next_sentence_pairs: expected a context of at least 5 tokens, got {context}")
    firsts: list[Tensor] = []
    seconds: list[Tensor] = []
    for text in texts:
        sentences = [part for part in _SENTENCE_END.split(text) if part.strip()]
        pieces = [ids for ids, _ in tokenizer.pieces(sentences) if len(ids) > 2]
        firsts += pieces[:-1]
        seconds += pieces[1:]
    if len(firsts) < 2:
        raise ValueError("next_sentence_pairs: expected texts of several sentences each")
    cls, sep = torch.tensor([tokenizer.cls_id]), torch.tensor([tokenizer.sep_id])
    rows: list[Tensor] = []
    n = len(firsts)
    # Each pair's other second is that of a pair so many places away, or the next one that reads otherwise.
    away = torch.randint(1, n, (n,), generator=torch.Generator().manual_seed(seed)).tolist()
    for place, first in enumerate(firsts):
        others = (seconds[(place + away[place] + more) % n] for more in range(n))
        other = next((one for one in others if not torch.equal(one, seconds[place])), None)
        if other is None:
            raise ValueError("next_sentence_pairs: expected sentences that differ, got one again and again")
        rows += [torch.cat([cls, first[-room:], sep, one[:room], sep]) for one in (seconds[place], other)]
    return rows, [0, 1] * len(firsts)
