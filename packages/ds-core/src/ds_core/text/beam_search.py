"""Beam search: the likeliest sentence, looked for along several beginnings at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ds_core.checks import check_number, check_whole
from ds_core.text.decoded import Decoded, Reorder, Step, reorder_state
from ds_core.text.greedy_search import check_log_probabilities

# What log p of n tokens is divided by, given alpha.
NORMALIZERS: dict[str, Callable[[int, float], float]] = {
    "google": lambda n, alpha: ((5 + n) / 6) ** alpha,
    "power": lambda n, alpha: n**alpha,
}


@torch.no_grad()
def beam_search(
    step: Step,
    state: Any,
    *,
    batch_size: int,
    bos_id: int,
    eos_id: int | list[int],
    beam_size: int = 5,
    max_length: int,
    length_penalty: float = 0.6,
    normalizer: str = "google",
    keep_unfinished: bool = False,
    pad_id: int = 0,
    reorder: Reorder = reorder_state,
    device: torch.device | str = "cpu",
) -> Decoded:
    """Decodes sentences by keeping the K likeliest beginnings of each at every step.

    score(y) = log p(y) / lp(|y|),   lp(n) = ((5 + n) / 6)^alpha, or n^alpha

    Every beginning is continued by every token. The K best continuations go on; an ``<eos>`` that is better
    than the last of them makes a finished sentence. The search for a sentence is over when no beginning can
    reach the score of the best finished one, however it goes on: a bad sentence that ends early does not stop
    a good one that needs a word more. With K = 1 and alpha = 0 this is greedy decoding.

    Args:
        step: one step of the decoder, ``step(tokens (rows,), state)``, which gives log-probabilities
            ``(rows, V)`` of the next token and the new state. Rows are beginnings, up to B K of them.
        state: of the decoder at the start, one row for each sentence.
        batch_size: B, the number of sentences.
        bos_id: the token to start from.
        eos_id: the token that ends a sentence, or a list of several or none.
        beam_size: K.
        max_length: the most tokens of a sentence, ``<eos>`` included. What has not ended by then is cut.
        length_penalty: alpha. 0 compares log p itself, which favours short sentences, since every further
            token costs; 1 compares the mean over the tokens, almost or exactly.
        normalizer: "google" for lp(n) = ((5 + n) / 6)^alpha, "power" for n^alpha.
        keep_unfinished: whether the best beginning that was cut is the result where its score is the best; if
            not, it is only where no sentence has ended.
        pad_id: fills the rows of the result. The decoder never sees it: a sentence that has ended leaves the
            batch.
        reorder: takes rows of a state, ``reorder(state, index (rows,))``; the default knows tensors, tuples,
            lists and dicts with the rows in dimension 0.
        device: where the decoder works.

    Returns:
        The best sentences and their scores.

    Raises:
        TypeError: if an argument is not a number, or not a whole one.
        ValueError: if it is too small, the normalizer has another name, or a step gives NaN or
            numbers above 0.
        IndexError: if there is no token ``eos_id``.

    Source: Wu et al., Google's Neural Machine Translation System (2016), section 7, for the length penalty.
    """
    if not callable(step):
        raise TypeError(f"beam_search: expected step to be a function of tokens and state, got {step!r}")
    check_whole("beam_search", batch_size=batch_size, beam_size=beam_size, max_length=max_length)
    ends = list(eos_id) if isinstance(eos_id, list) else [eos_id]
    for end in ends:
        check_whole("beam_search", 0, eos_id=end)
    check_whole("beam_search", 0, bos_id=bos_id)
    check_whole("beam_search", -(2**63), pad_id=pad_id)
    check_number("beam_search", 0, length_penalty=length_penalty)
    if normalizer not in NORMALIZERS:
        raise ValueError(
            f"beam_search: expected normalizer {' or '.join(map(repr, NORMALIZERS))}, got {normalizer!r}"
        )

    def penalty(length: int) -> float:
        return NORMALIZERS[normalizer](length, length_penalty)

    wide = beam_size  # K
    tokens = torch.full((batch_size, max_length), pad_id, dtype=torch.int64, device=device)
    lengths = torch.zeros(batch_size, dtype=torch.int64, device=device)
    rows = torch.arange(batch_size, device=device)  # R sentences are still looked for
    state = reorder(state, rows.repeat_interleave(wide))  # R K rows from here on
    begun = torch.full((batch_size, wide, 1), bos_id, dtype=torch.int64, device=device)  # (R, K, tokens)
    scores = log_p = torch.zeros(0)

    for length in range(1, max_length + 1):
        step_log_p, state = step(begun[:, :, -1].flatten(), state)  # (R K, V)
        if length == 1:
            scores = step_log_p.new_full((batch_size,), -torch.inf)  # of the best finished sentences
            log_p = step_log_p.new_full((batch_size, wide), -torch.inf)
            log_p[:, 0] = 0  # all K begin alike: count one
        vocab_size = step_log_p.shape[-1]
        if max(ends, default=0) >= vocab_size:
            raise IndexError(f"beam_search: expected eos_id below the {vocab_size} tokens, got {max(ends)}")
        continued = log_p[:, :, None] + step_log_p.view(len(rows), wide, vocab_size)  # (R, K, V)
        ended = torch.full_like(log_p, -torch.inf)  # (R, K)
        last = torch.zeros_like(log_p, dtype=torch.int64)  # (R, K), the token that ends each
        if ends:
            ended, which = continued[:, :, ends].max(2)
            last = torch.tensor(ends, device=device)[which]
            continued[:, :, ends] = -torch.inf
        log_p, place = continued.flatten(1).topk(wide)  # (R, K), the best first
        check_log_probabilities("beam_search", log_p.maximum(ended))  # topk takes NaN for the best

        counts = ended > log_p[:, -1:]
        best_log_p, best = ended.masked_fill(~counts, -torch.inf).max(1)  # (R,)
        better = best_log_p / penalty(length) > scores[rows]
        scores[rows] = torch.where(better, best_log_p / penalty(length), scores[rows])
        lengths[rows] = torch.where(better, length, lengths[rows])
        won = rows[better]
        tokens[won] = pad_id
        tokens[won, : length - 1] = begun[better, best[better], 1:]
        tokens[won, length - 1] = last[better, best[better]]

        beam = place // vocab_size  # which beginning is continued
        begun = torch.cat([take(begun, beam), (place % vocab_size)[:, :, None]], 2)
        if length == max_length:
            break
        # log p only falls, and nothing is divided by more than the penalty of the longest sentence.
        can_win = log_p[:, 0] / penalty(max_length) > scores[rows]
        going_on = can_win.nonzero().flatten()
        beam = (beam + torch.arange(len(rows), device=device)[:, None] * wide)[going_on]
        rows, begun, log_p = rows[going_on], begun[going_on], log_p[going_on]
        if not len(rows):
            break
        state = reorder(state, beam.flatten())

    cut = lengths[rows] == 0  # of these the best beginning is all there is
    if keep_unfinished and len(rows):
        cut = cut | (log_p[:, 0] / penalty(max_length) > scores[rows])
    cut = cut.nonzero().flatten()
    tokens[rows[cut], : begun.shape[2] - 1] = begun[cut, 0, 1:]
    lengths[rows[cut]] = max_length
    scores[rows[cut]] = log_p[cut, 0] / penalty(max_length)
    return Decoded(tokens[:, : int(lengths.max())], lengths, scores)


def take(begun: Tensor, beam: Tensor) -> Tensor:
    """Returns of beginnings ``(R, K, tokens)`` those numbered ``(R, K)``."""
    return begun.gather(1, beam[:, :, None].expand(-1, -1, begun.shape[2]))
