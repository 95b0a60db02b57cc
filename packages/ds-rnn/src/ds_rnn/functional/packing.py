"""Padded sequences packed without their padding, and unpacked again."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Packing(NamedTuple):
    """How sequences of different lengths are packed: see :mod:`ds_rnn.functional.recurrence`.

    Attributes:
        sizes: how many sequences each step has.
        order: ``(B,)``, the sequences sorted by length, the longest first; None if they are in order as they
            lie, all of one length.
        places: ``(rows,)``, where each packed row lies in the padded steps and sequences ``(T B,)``; None
            likewise.
    """

    sizes: list[int]
    order: Tensor | None = None
    places: Tensor | None = None


def packing(steps: int, batch: int, lengths: Tensor | None) -> Packing:
    """Plans the packing of B sequences padded to T steps.

    Args:
        steps: T.
        batch: B.
        lengths: ``(B,)``, from 1 to T; None if all have T.
    """
    if lengths is None:
        return Packing([batch] * steps)
    lengths, order = lengths.sort(descending=True, stable=True)
    there = torch.arange(steps, device=lengths.device)[:, None] < lengths  # (T, B), sorted
    sizes = [size for size in there.sum(1).tolist() if size]
    places = torch.arange(steps, device=lengths.device)[:, None] * batch + order  # (T, B)
    return Packing(sizes, order, places[there])


def pack(x: Tensor, plan: Packing) -> Tensor:
    """Packs ``(T, B, F)`` into ``(rows, F)``."""
    rows = x.reshape(-1, x.shape[2])
    return rows if plan.places is None else rows.index_select(0, plan.places)


def unpack(rows: Tensor, plan: Packing, steps: int, batch: int) -> Tensor:
    """Lays ``(rows, F)`` out as ``(T, B, F)``, with zeros where a sequence has ended."""
    if plan.places is not None:
        padded = rows.new_zeros(steps * batch, rows.shape[1])
        rows = padded.index_copy(0, plan.places, rows)
    return rows.view(steps, batch, rows.shape[1])


def sort_batch(state: Tensor, plan: Packing, dim: int = 0) -> Tensor:
    """Brings what belongs to each sequence, as an initial state, into the order of the packing."""
    return state if plan.order is None else state.index_select(dim, plan.order)


def unsort_batch(state: Tensor, plan: Packing, dim: int = 0) -> Tensor:
    """Brings it back: the inverse of :func:`sort_batch`."""
    return state if plan.order is None else torch.empty_like(state).index_copy(dim, plan.order, state)
