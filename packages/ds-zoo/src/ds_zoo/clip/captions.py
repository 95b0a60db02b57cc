"""Captions as token ids: all of one length, the end of each marked."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ds_core.text import Tokenizer
from torch import Tensor

from ds_zoo.clip.tokenizer import CLIPTokenizer


def encode_captions(
    tokenizer: Tokenizer, captions: Sequence[str], most: int, *, truncate: bool = False
) -> Tensor:
    """Turns captions into token ids, each followed by ``<eos>`` and filled up with ``<pad>``.

    With the published tokenizer each begins with ``<|startoftext|>``, too. No mask is needed: no token sees a
    later one, and a caption is read off at its ``<eos>``.

    Args:
        tokenizer: with special tokens.
        captions: M of them.
        most: tokens that the model reads, those at both ends included.
        truncate: whether what is too long is cut off, rather than an error.

    Returns:
        ids ``(M, T)``, int64.

    Raises:
        ValueError: if there are none, one is empty, or one is too long; names it.
    """
    if not captions:
        raise ValueError("captions: expected at least one, got none")
    start = [tokenizer.bos_id] if isinstance(tokenizer, CLIPTokenizer) else []
    room = most - 1 - len(start)
    rows = []
    for caption in captions:
        ids = tokenizer.encode(caption)
        if not ids:
            raise ValueError(f"captions: expected words, got {caption!r}")
        if len(ids) > room and not truncate:
            raise ValueError(
                f"captions: expected at most {room} tokens, got {len(ids)}: {caption[:80]!r}; shorten it, or "
                "pass truncate=True to leave out the end"
            )
        rows.append([*start, *ids[:room], tokenizer.eos_id])
    longest = max(map(len, rows))
    return torch.tensor([row + [tokenizer.pad_id] * (longest - len(row)) for row in rows])
