"""Greedy decoding: always the likeliest next token."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ds_core.checks import check_whole
from ds_core.text.decoded import Decoded, Reorder, Step, reorder_state


@torch.no_grad()
def greedy_search(
    step: Step,
    state: Any,
    *,
    batch_size: int,
    bos_id: int,
    eos_id: int,
    max_length: int,
    pad_id: int = 0,
    reorder: Reorder = reorder_state,
    device: torch.device | str = "cpu",
) -> Decoded:
    """Decodes sentences by taking the likeliest token at every step, until each has ended.

    Args:
        step: one step of the decoder, ``step(tokens (rows,), state)``, which gives log-probabilities
            ``(rows, V)`` of the next token and the new state.
        state: of the decoder at the start, one row for each sentence.
        batch_size: B, the number of sentences.
        bos_id: the token to start from.
        eos_id: the token that ends a sentence.
        max_length: the most tokens of a sentence, ``<eos>`` included; what has not ended by then is cut.
        pad_id: fills the rows of the result. The decoder never sees it: a sentence that has ended leaves the
            batch.
        reorder: takes rows of a state, ``reorder(state, index (rows,))``; the default knows tensors, tuples,
            lists and dicts with the rows in dimension 0.
        device: where the decoder works.

    Returns:
        The sentences; their scores are log p.

    Raises:
        TypeError: if a number is not whole.
        ValueError: if it is too small, or a step gives NaN or numbers above 0.
    """
    if not callable(step):
        raise TypeError(f"greedy_search: expected step to be a function of tokens and state, got {step!r}")
    check_whole("greedy_search", batch_size=batch_size, max_length=max_length)
    check_whole("greedy_search", -(2**63), bos_id=bos_id, eos_id=eos_id, pad_id=pad_id)
    tokens = torch.full((batch_size, max_length), pad_id, dtype=torch.int64, device=device)
    lengths = torch.zeros(batch_size, dtype=torch.int64, device=device)
    rows = torch.arange(batch_size, device=device)  # the sentences that have not ended
    latest = torch.full_like(rows, bos_id)
    scores = torch.zeros(0)
    for place in range(max_length):
        if not len(rows):
            break
        log_p, state = step(latest, state)  # (rows, V)
        best, latest = log_p.max(-1)
        check_log_probabilities("greedy_search", best)
        if place == 0:
            scores = torch.zeros_like(best)
        tokens[rows, place] = latest
        lengths[rows] += 1
        scores[rows] += best
        going_on = (latest != eos_id).nonzero().flatten()
        if len(going_on) < len(rows):
            rows, latest, state = rows[going_on], latest[going_on], reorder(state, going_on)
    return Decoded(tokens[:, : int(lengths.max()) if batch_size else 0], lengths, scores)


def check_log_probabilities(name: str, best: Tensor) -> None:
    """Checks that the best of the log-probabilities that a step gave, or their sum, may be one.

    It is NaN if any is, and above 0 where logits were given in their place.

    Raises:
        ValueError: names the function.
    """
    if best.isnan().any():
        raise ValueError(f"{name}: expected log-probabilities from step, got NaN; has the model diverged?")
    if (best > 1e-3).any():
        raise ValueError(
            f"{name}: expected log-probabilities from step, none above 0, got {best.max().item():.4g}; "
            "logits lack log_softmax"
        )
