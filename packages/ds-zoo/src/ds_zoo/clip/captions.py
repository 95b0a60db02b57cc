"""Captions as token ids: all of one length, the end of each marked."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ds_core.text import Tokenizer
from torch import Tensor


def encode_captions(
    tokenizer: Tokenizer, captions: Sequence[str], most: int, *, truncate: bool = False
) -> Tensor:
    """Turns captions into token ids, each followed by ``<eos>`` and filled up with ``<pad>``.

    No mask is needed: no token sees a later one, and a caption is read off at its ``<eos>``.

    Args:
        tokenizer: with special tokens.
        captions: M of them.
        most: tokens that the model reads, ``<eos>`` included.
        truncate: whether what is too long is cut off, rather than an error.

    Returns:
        ids ``(M, T)``, int64.

    Raises:
        ValueError: if there are none, one is empty, or one is too long; names it.
    """
    if not captions:
        raise ValueError("captions: expected at least one, got none")
    rows = []
    for caption in captions:
        ids = tokenizer.encode(caption)
        if not ids:
            raise ValueError(f"captions: expected words, got {caption!r}")
        if len(ids) >= most and not truncate:
            raise ValueError(
                f"captions: expected at most {most - 1} tokens, got {len(ids)}: {caption[:80]!r}; shorten "
                "it, or pass truncate=True to leave out the end"
            )
        rows.append([*ids[: most - 1], tokenizer.eos_id])
    longest = max(map(len, rows))
    return torch.tensor([row + [tokenizer.pad_id] * (longest - len(row)) for row in rows])
