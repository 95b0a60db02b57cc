"""The exercises of ds-transformer: masks, attention, heads, positions, caches, a whole block."""

from __future__ import annotations

from typing import Any

import torch
from ds_core import Sequential
from ds_core.learn import Chapter, Exercise, Layer, Pair, Results
from ds_core.verify.inputs import normal


def _heads(split_heads: Any, g: torch.Generator) -> dict[str, Any]:
    x = torch.randn(2, 3, 8, generator=g)
    return {
        f"{h} heads, batch_first={first}": split_heads(x, h, first) for h in (2, 4) for first in (True, False)
    }


def _masked(g: torch.Generator) -> tuple[Any, ...]:
    q, k, v = (torch.randn(2, 2, length, 5, generator=g) for length in (3, 4, 4))
    return q, k, v, torch.randn(3, 4, generator=g)


def _causal(g: torch.Generator) -> tuple[Any, ...]:
    q, k, v = (torch.randn(2, heads, length, 3, generator=g) for heads, length in ((4, 3), (2, 5), (2, 5)))
    return q, k, v, None, 0.5, True, 2


def _hidden(g: torch.Generator) -> tuple[Any, ...]:
    mask = torch.tensor([[False, True, False, False], [True, True, True, True], [False, False, False, True]])
    return *_masked(g)[:3], mask


def _bits(size: tuple[int, ...], g: torch.Generator) -> torch.Tensor:
    return torch.randint(-(2**31), 2**31 - 1, size, generator=g).int()


def _dropped(g: torch.Generator) -> tuple[Any, ...]:
    q, k, v = (torch.randn(2, 2, length, 3, generator=g) for length in (3, 4, 4))
    noise = (_bits((2, 2, 3, 1), g), _bits((4,), g))
    return q, k, v, None, None, False, 0, noise, 0.4


def _turns(g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    angles = torch.randn(3, 2, generator=g, dtype=torch.float64)
    return angles.cos(), angles.sin()


def _cached(kind: Any, g: torch.Generator) -> dict[str, Any]:
    class Growing(kind):  # type: ignore[misc]
        def _room(self, needed: int, held: int) -> int:
            return held if needed <= held else max(needed, 2 * held)

    cache, found = Growing(), {}
    for step, new in enumerate((3, 1, 1, 4)):
        key, value = torch.randn(2, new, 5, generator=g), torch.randn(2, new, 4, generator=g)
        found[f"call {step}, {new} more"] = cache.extend(key, value)
        found[f"length after call {step}"] = cache.length
    return found


CHAPTERS = [
    Chapter(
        40,
        "Masks",
        [
            Exercise(
                "causal-mask",
                "nobody sees the future",
                "ds_transformer.masks:causal_mask",
                Results(
                    lambda mask, g: {f"causal_mask{way}": mask(*way) for way in ((4,), (3, 5), (2, None, 3))}
                ),
                hint="Query t stands at position past + t. Compare with the positions of all keys.",
                theory="attention.md#Masks",
                formula="hidden_ts = s > past + t: arange(S) >= _after(T, past, device), the first hidden "
                "key of each "
                "query as a column.",
            ),
            Exercise(
                "padding-mask",
                "what lies behind the end",
                "ds_transformer.masks:padding_mask",
                Results(
                    lambda mask, g: {
                        "lengths 3, 1, 4": mask(torch.tensor([3, 1, 4])),
                        "of 6 places": mask([2, 0, 5], 6),
                    }
                ),
                hint="A row for each sequence. _integers makes a tensor of the lengths, _extremes gives "
                "the largest.",
                theory="attention.md#Masks",
                formula="hidden_bs = s >= lengths_b: arange(S) beside lengths as a column.",
            ),
            Exercise(
                "window-mask",
                "only what is near",
                "ds_transformer.masks:sliding_window_mask",
                Results(
                    lambda mask, g: {
                        f"length {n}, window {w}, causal={c}": mask(n, w, c)
                        for n, w, c in ((5, 2, True), (5, 2, False), (4, 1, True), (3, 7, False))
                    }
                ),
                hint="How far does each key lie behind the query, and may it lie ahead?",
                theory="attention.md#Masks",
                formula="back = t - s; causal: hidden where back >= window or back < 0; else where |back| "
                ">= window.",
            ),
        ],
    ),
    Chapter(
        41,
        "Attention",
        [
            Exercise(
                "attention",
                "every query takes a mean of the values",
                "ds_transformer.functional.attention:attention",
                Pair(_masked, also=[_causal, _hidden, _dropped]),
                hint="Scores, masks, softmax, dropout, values. With fewer heads of keys than of queries: "
                "_repeat them.",
                theory="attention.md#Forward",
                formula="A = scale Q K^T, + mask or -inf where it is True, -inf ahead if is_causal; P = "
                "_softmax(A); "
                "W = P kept; out = W V; ((out, W), Saved(query, key, value, P, kept, mask, scale, shared)).",
            ),
            Exercise(
                "attention-backward",
                "back to queries, keys and values",
                "ds_transformer.functional.attention:attention_backward",
                Pair(_masked, also=[_causal, _hidden, _dropped]),
                hint="From the last line of the forward to its first: values, weights, dropout, softmax, "
                "scores.",
                theory="attention.md#Backward",
            ),
            Exercise(
                "split-heads",
                "one wide row, several heads",
                "ds_transformer.functional.projection:split_heads",
                Results(_heads),
                hint="Cut the last dimension into (heads, D); then heads come second.",
                theory="multi-head.md#All heads in one product",
                formula="(B, T, H D) -> (B, T, H, D) -> (B, H, T, D); not batch_first: from (T, B, H, D).",
            ),
            Exercise(
                "projection-backward",
                "heads put side by side again",
                "ds_transformer.functional.projection:projection_backward",
                Pair(
                    lambda g: (*normal((2, 3, 4), (12, 4), (12,))(g), (2, 1, 1), True),
                    also=[lambda g: (*normal((3, 2, 4), (12, 4))(g), None, (1, 1, 1), False)],
                ),
                hint="Lay the gradients of all parts side by side, undo the heads; then it is dense's "
                "backward.",
                theory="multi-head.md#Backward: the table upside down",
            ),
            Exercise(
                "key-value-cache",
                "a token at a time",
                "ds_transformer.cache:KeyValueCache.extend",
                Results(_cached),
                hint="Is there room? self._room says how much there should be, self._larger moves what is "
                "held. Then "
                "write the new\npositions behind the old ones.",
                theory="decoding.md#The past does not change",
                formula="end = length + T; if the memory is too small, make both larger; memory[..., "
                "length:end, :] = "
                "new; length = end; return self.held().",
            ),
        ],
    ),
    Chapter(
        42,
        "Positions, and a whole block",
        [
            Exercise(
                "sinusoids",
                "hands of clocks",
                "ds_transformer.positions.angles:sinusoids",
                Results(
                    lambda sinusoids, g: {
                        f"width {w}, base {b}": sinusoids(torch.arange(5, dtype=torch.float64), w, b)
                        for w, b in ((6, 10000.0), (4, 100.0))
                    }
                ),
                hint="`angles` gives the angle of each pair: sine and cosine of it stand side by side.",
                theory="positions.md#Sinusoidal",
                formula="y_2i = sin(angle_i), y_(2i+1) = cos(angle_i): stack both last, then flatten.",
            ),
            Exercise(
                "learned-positions-backward",
                "rows that some places used",
                "ds_transformer.functional.learned_positions:learned_positions_backward",
                Pair(
                    lambda g: (*normal((2, 3, 4), (8, 4))(g), 2),
                    also=[lambda g: (*normal((3, 4), (5, 4))(g), 0)],
                ),
                hint="All sequences used the same rows. What of the rows before and after them?",
                theory="positions.md#Learned",
            ),
            Exercise(
                "rotary-backward",
                "turned back",
                "ds_transformer.functional.rotary:rotate_backward",
                Pair(
                    lambda g: (torch.randn(2, 3, 4, generator=g), *_turns(g)),
                    also=[lambda g: (torch.randn(3, 4, generator=g), *_turns(g), True)],
                ),
                hint="A rotation's gradient is turned by the opposite angle.",
                theory="positions.md#Rotary",
            ),
            Exercise(
                "alibi-slopes",
                "how fast attention fades",
                "ds_transformer.positions.alibi:alibi_slopes",
                Results(lambda slopes, g: {f"{heads} heads": slopes(heads) for heads in (1, 4, 6, 12)}),
                hint="Easy for a power of two. For other numbers, where do the missing ones come from?",
                theory="positions.md#ALiBi",
                formula="2^(-8 h / P) for h = 1 ... P, P the largest power of two up to H; then every "
                "second one, from "
                "the first, of those for 2 P.",
            ),
            Exercise(
                "block-backward",
                "a whole block of the Transformer",
                "ds_transformer.layers.encoder:TransformerEncoderLayer.backward",
                Layer(
                    lambda kind: Sequential(
                        kind(4, 2, 6, 0.0, batch_first=True, norm_first=True),
                        kind(4, 2, 6, 0.0, batch_first=True),
                    ),
                    normal((2, 3, 4)),
                    entries=2,
                ),
                hint="Read the forward from below. Each residual sum hands its gradient to both sides; "
                "self_attn, "
                "dropout1,\nnorm1, feed_forward_backward ... are there to be called.",
                theory="norm-placement.md#Backward",
                formula="norm first: g += norm2.backward(f.backward(dropout2.backward(g))), then the same "
                "for attention "
                "with norm1. norm last: g = norm2.backward(g), g = norm1.backward(g + f's), g + attention's.",
            ),
        ],
    ),
]
