"""PairBatches: sentences and translations of like length together, as padded tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ds_core.checks import check_whole
from ds_core.data.epochs import Epochs, mixed_generator
from ds_core.data.fingerprint import fingerprint
from ds_core.text.pairs import Pairs
from ds_core.text.tokenizer import Tokenizer


class PairBatch(NamedTuple):
    """Sentences and their translations as token ids.

    Attributes:
        source: ``(B, S)`` int64, padded at the end.
        source_lengths: ``(B,)`` int64, without padding.
        target: ``(B, T)`` int64, ``<bos> ... <eos>``, padded at the end.
        target_lengths: ``(B,)`` int64, with ``<bos>`` and ``<eos>``, without padding.
    """

    source: Tensor
    source_lengths: Tensor
    target: Tensor
    target_lengths: Tensor

    def inputs_and_target(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns what the trainer hands over: three inputs of the model, and the target of the loss.

        The model sees ``source``, ``source_lengths`` and ``target[:, :-1]`` (teacher forcing), and is to say
        of each token of the target which comes next: ``target[:, 1:]``.
        """
        return self.source, self.source_lengths, self.target[:, :-1], self.target[:, 1:]


class PairBatches(Epochs[PairBatch]):
    """Cuts translations into batches of like length, so that little is padding.

    The pairs are sorted by length, cut, and the batches shuffled; pairs of the same lengths, too, change
    places from epoch to epoch. The order of epoch e depends on the seed and e alone.

    Args:
        pairs: sentences and translations; each is encoded once.
        source_tokenizer: of the sentences.
        target_tokenizer: of the translations.
        batch_size: pairs in a batch; or give the next one.
        max_tokens: the most tokens on either side of a batch, padding included: as many pairs as fit.
        max_length: leaves out pairs with more tokens on either side, ``<bos>`` and ``<eos>`` included; None
            to keep all. :attr:`left_out` counts them.
        shuffle: whether each epoch has its own order; otherwise batches come from short to long.
        seed: of these orders.

    Yields:
        :class:`PairBatch`; the trainer takes it as it is.

    Raises:
        ValueError: if not exactly one of ``batch_size`` and ``max_tokens`` is given, there are no pairs, a
            sentence is empty, or one alone has more than ``max_tokens``.

    Example:
        >>> batches = PairBatches(pairs, tokenizer, tokenizer, max_tokens=2000)
        >>> for batch in batches:
        ...     print(batch.source.shape)
    """

    def __init__(
        self,
        pairs: Pairs,
        source_tokenizer: Tokenizer,
        target_tokenizer: Tokenizer,
        *,
        batch_size: int | None = None,
        max_tokens: int | None = None,
        max_length: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
    ) -> None:
        if not isinstance(pairs, Pairs):
            raise TypeError(f"PairBatches: expected Pairs, got {type(pairs).__name__}")
        for tokenizer in (source_tokenizer, target_tokenizer):
            if not isinstance(tokenizer, Tokenizer):
                raise TypeError(
                    f"PairBatches: expected tokenizers of sentences, got {type(tokenizer).__name__}"
                )
        if (batch_size is None) == (max_tokens is None):
            raise ValueError(
                f"PairBatches: expected either batch_size or max_tokens, got {batch_size=} and {max_tokens=}"
            )
        for name, value in (
            ("batch_size", batch_size),
            ("max_tokens", max_tokens),
            ("max_length", max_length),
        ):
            if value is not None:
                check_whole("PairBatches", **{name: value})
        check_whole("PairBatches", -(2**63), seed=seed)
        self.batch_size = batch_size
        self.max_tokens = max_tokens
        self.max_length = max_length
        self.shuffle = shuffle
        self.seed = seed
        self._pads = source_tokenizer.pad_id, target_tokenizer.pad_id

        sources = [torch.tensor(source_tokenizer.encode(text), dtype=torch.int64) for text in pairs.source]
        bos, eos = target_tokenizer.bos_id, target_tokenizer.eos_id
        targets = [torch.tensor([bos, *target_tokenizer.encode(text), eos]) for text in pairs.target]
        encoded = list(zip(sources, targets, strict=True))
        for number, (source, target) in enumerate(encoded):
            if len(source) == 0 or len(target) == 2:
                side, text = (
                    ("sentence", pairs.source[number])
                    if len(source) == 0
                    else ("translation", pairs.target[number])
                )
                raise ValueError(f"PairBatches: the {side} of pair {number} has no tokens: {text!r}")
        if max_length is not None:
            encoded = [pair for pair in encoded if max(map(len, pair)) <= max_length]
        self.left_out = len(pairs) - len(encoded)
        if not encoded:
            raise ValueError(
                "PairBatches: expected at least one pair, got none"
                + (f"; all {len(pairs):,} are longer than max_length={max_length}" if len(pairs) else "")
            )
        # From short to long; so what follows need not look at lengths again.
        self._encoded = sorted(encoded, key=lambda pair: (len(pair[0]), len(pair[1])))
        self._lengths = [(len(source), len(target)) for source, target in self._encoded]
        self._cuts = self._cut()

    def _cut(self) -> list[slice]:
        """Returns where the sorted pairs are cut into batches."""
        count = len(self._lengths)
        if self.batch_size is not None:
            return [slice(at, min(at + self.batch_size, count)) for at in range(0, count, self.batch_size)]
        assert self.max_tokens is not None
        cuts, begin, longest = [], 0, 0
        for number, pair in enumerate(self._lengths):
            if max(pair) > self.max_tokens:
                raise ValueError(
                    f"PairBatches: a pair of {pair[0]} and {pair[1]} tokens does not fit into "
                    f"max_tokens={self.max_tokens}; pass max_length={self.max_tokens} to leave out such pairs"
                )
            longest = max(longest, *pair)
            if longest * (number + 1 - begin) > self.max_tokens:
                cuts.append(slice(begin, number))
                begin, longest = number, max(pair)
        return [*cuts, slice(begin, count)]

    def __len__(self) -> int:
        return len(self._cuts)

    def batches(self, epoch: int, first: int) -> Iterator[PairBatch]:
        order, cuts = list(range(len(self._encoded))), list(self._cuts)
        if self.shuffle:
            generator = mixed_generator(self.seed, epoch)
            drawn = torch.randperm(len(order), generator=generator).tolist()
            order = sorted(drawn, key=self._lengths.__getitem__)  # pairs of the same lengths stay as drawn
            cuts = [cuts[number] for number in torch.randperm(len(cuts), generator=generator).tolist()]
        for cut in cuts[first:]:
            source, target = zip(*(self._encoded[number] for number in order[cut]), strict=True)
            yield PairBatch(*pad(source, self._pads[0]), *pad(target, self._pads[1]))

    def fingerprint(self) -> str:
        sides = [side for pair in self._encoded for side in pair]
        return fingerprint([torch.cat(sides), torch.tensor(self._lengths)])

    def setting(self) -> dict[str, Any]:
        names = ("batch_size", "max_tokens", "max_length", "shuffle", "seed")
        return {"pairs": len(self._encoded), **{name: getattr(self, name) for name in names}}


def pad(rows: Sequence[Tensor], pad_id: int) -> tuple[Tensor, Tensor]:
    """Puts rows of ids into one tensor.

    Returns:
        The rows ``(B, longest)`` int64, filled up with ``pad_id``, and their lengths ``(B,)``.
    """
    lengths = torch.tensor([len(row) for row in rows])
    padded = torch.full((len(rows), int(lengths.max())), pad_id, dtype=torch.int64)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    return padded, lengths
