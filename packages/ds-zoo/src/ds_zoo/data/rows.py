"""RowBatches: texts as rows of token ids, of like length together, in an order that the seed decides."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from ds_core.data.epochs import Epochs, mixed_generator
from ds_core.data.fingerprint import fingerprint
from ds_core.text.pair_batches import pad
from torch import Tensor

_POOL = 16  # batches whose rows are sorted together: like lengths, and still mixed


class RowBatches(Epochs[tuple[Any, ...]]):
    """Base of batches of rows of token ids; the order of epoch e depends on the seed and e alone.

    Args:
        rows: token ids, each ``(T,)``.
        pad_id: fills up short rows.
        max_tokens: as many rows in a batch as make no more tokens than this, what fills up included.
        shuffle: whether every epoch has an order of its own; otherwise it is that of the rows.
        seed: of these orders.

    Raises:
        ValueError: if there are no rows, or one alone has more than ``max_tokens``.
    """

    def __init__(
        self, rows: Sequence[Tensor], pad_id: int, max_tokens: int, *, shuffle: bool = True, seed: int = 0
    ) -> None:
        name = type(self).__name__
        if not rows:
            raise ValueError(f"{name}: expected at least one text, got none")
        if max(map(len, rows)) > max_tokens:
            raise ValueError(f"{name}: a text of {max(map(len, rows))} tokens is above {max_tokens=}")
        self.rows, self.pad_id, self.max_tokens = rows, pad_id, max_tokens
        self.shuffle, self.seed = shuffle, seed
        self._ordered: tuple[int, list[list[int]]] = -1, []

    @abstractmethod
    def batch(self, numbers: list[int], generator: torch.Generator) -> tuple[Any, ...]:
        """Makes the batch of these rows; the generator is for what is drawn anew each time."""

    def batches(self, epoch: int, first: int) -> Iterator[tuple[Any, ...]]:
        for place, numbers in enumerate(self._order(epoch)[first:], first):
            yield self.batch(numbers, mixed_generator(self.seed, epoch, place))

    def _order(self, epoch: int) -> list[list[int]]:
        """Returns which rows are in which batch."""
        epoch = epoch if self.shuffle else 0
        if self._ordered[0] != epoch:
            numbers = list(range(len(self.rows)))
            generator = mixed_generator(self.seed, epoch)
            if self.shuffle:
                numbers = torch.randperm(len(numbers), generator=generator).tolist()
            total, pools = 0, [[]]  # type: ignore[var-annotated]
            for number in numbers:
                if total > _POOL * self.max_tokens:
                    total, pools = 0, [*pools, []]
                total += len(self.rows[number])
                pools[-1].append(number)
            cut = [batch for pool in pools for batch in self._cut(pool)]
            if self.shuffle:
                cut = [cut[place] for place in torch.randperm(len(cut), generator=generator).tolist()]
            self._ordered = epoch, cut
        return self._ordered[1]

    def _cut(self, pool: list[int]) -> Iterator[list[int]]:
        """Cuts a pool, from short to long, into batches."""
        batch: list[int] = []
        for number in sorted(pool, key=lambda number: len(self.rows[number])):
            if len(self.rows[number]) * (len(batch) + 1) > self.max_tokens:
                yield batch
                batch = []
            batch.append(number)
        yield batch

    def __len__(self) -> int:
        return len(self._order(self._epoch))

    def padded(self, rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Returns rows filled up, ``(B, T)``, and 1 at tokens, 0 elsewhere."""
        ids, lengths = pad(rows, self.pad_id)
        return ids, (torch.arange(ids.shape[1]) < lengths[:, None]).long()

    def fingerprint(self) -> str:
        return fingerprint([torch.cat(list(self.rows)), torch.tensor([len(row) for row in self.rows])])

    def setting(self) -> dict[str, Any]:
        names = ("max_tokens", "shuffle", "seed")
        return {"rows": len(self.rows), **{name: getattr(self, name) for name in names}}
