"""Padded sequences packed without their padding, so that no work is done on it, and unpacked again."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """How sequences padded to T steps are packed: the longest first, all rows of step 0, all of step 1, ...

    Attributes:
        steps: T.
        batch: B.
        sizes: how many sequences each step has, never rising.
        order: ``(B,)``, the sequences sorted by length, the longest first; None if they are in order as they
            lie, all of one length.
        places: ``(rows,)``, where each packed row lies in the padded steps and sequences ``(T B,)``; None
            likewise.
    """

    steps: int
    batch: int
    sizes: list[int]
    order: Tensor | None = None
    places: Tensor | None = None

    def pack(self, x: Tensor) -> Tensor:
        """Packs ``(T, B, F)`` into ``(rows, F)``."""
        rows = x.reshape(-1, x.shape[2])
        return rows if self.places is None else rows.index_select(0, self.places)

    def unpack(self, rows: Tensor) -> Tensor:
        """Lays ``(rows, F)`` out as ``(T, B, F)``, with zeros where a sequence has ended."""
        if self.places is not None:
            padded = rows.new_zeros(self.steps * self.batch, rows.shape[1])
            rows = padded.index_copy(0, self.places, rows)
        return rows.view(self.steps, self.batch, rows.shape[1])

    def sort(self, state: Tensor) -> Tensor:
        """Brings the rows of ``(layers, B, H)`` into the order of the packing."""
        return state if self.order is None else state.index_select(1, self.order)

    def unsort(self, state: Tensor) -> Tensor:
        """Brings them back: the inverse of :meth:`sort`."""
        return state if self.order is None else torch.empty_like(state).index_copy(1, self.order, state)


def packing(steps: int, batch: int, lengths: Tensor | None) -> Packing:
    """Plans the packing of B sequences padded to T steps.

    Args:
        steps: T.
        batch: B.
        lengths: ``(B,)``, from 1 to T; None if all have T.
    """
    if lengths is None:
        return Packing(steps, batch, [batch] * steps)
    lengths, order = lengths.sort(descending=True, stable=True)
    there = torch.arange(steps, device=lengths.device)[:, None] < lengths  # (T, B), sorted
    sizes = [size for size in there.sum(1).tolist() if size]
    places = torch.arange(steps, device=lengths.device)[:, None] * batch + order  # (T, B)
    return Packing(steps, batch, sizes, order, places[there])
