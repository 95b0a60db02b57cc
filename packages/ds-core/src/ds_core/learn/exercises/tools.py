"""Data, text and counting: what stands around a model."""

from __future__ import annotations

from typing import Any

import torch

from ds_core.functional import log_softmax
from ds_core.learn.exercise import Chapter, Exercise, Results


def _one_hot(one_hot: Any, g: torch.Generator) -> dict[str, Any]:
    labels = torch.tensor([2, 0, 1])
    return {
        "labels [2, 0, 1]": one_hot(labels),
        "labels [2, 0, 1] of 5 classes": one_hot(labels, 5),
        "labels of shape (2, 2)": one_hot(torch.tensor([[1, 0], [3, 2]]), 4, torch.int64),
    }


def _scaled(kind: Any, g: torch.Generator) -> dict[str, Any]:
    x = torch.randn(6, 3, generator=g, dtype=torch.float64) * torch.tensor([1.0, 5.0, 0.1]) + 2
    scaler = kind().fit(x)
    more = kind(constant="allow").fit(torch.cat([x, torch.ones(6, 1)], 1))
    return {
        "offset": scaler.offset,
        "scale": scaler.scale,
        "x transformed": scaler.transform(x),
        "with a constant column": more.transform(torch.cat([x, torch.ones(6, 1)], 1)),
        "x itself, afterwards": x,
    }


def _between(kind: Any, g: torch.Generator) -> dict[str, Any]:
    x = torch.randn(6, 3, generator=g, dtype=torch.float64)
    return _scaled(kind, g) | {"x between -1 and 1": kind((-1.0, 1.0)).fit_transform(x)}


def _windows(sequential_windows: Any, g: torch.Generator) -> dict[str, Any]:
    ids = torch.randperm(24, generator=g)
    return {
        f"context {c}, batches of {n}": sequential_windows(ids, c, n) for c, n in [(4, 2), (5, 3), (23, 1)]
    }


def _streams(text_streams: Any, g: torch.Generator) -> dict[str, Any]:
    ids = torch.randperm(24, generator=g)
    return {
        f"{n} streams of {s} steps": list(text_streams(ids, n, s))
        for n, s in [(2, 3), (3, 2), (1, 23), (2, 11), (4, 5)]
    }


def _vocabulary(kind: Any, g: torch.Generator) -> dict[str, Any]:
    texts = [
        text.split() for text in ("a cat and a dog", "the dog and the cat", "a bird <pad> <eos>", "a dog")
    ]
    return {
        "all tokens": kind.build(texts).tokens,
        "min_count=2": kind.build(texts, min_count=2).tokens,
        "max_size=7": kind.build(texts, max_size=7).tokens,
    }


def _penalized(penalize: Any, g: torch.Generator) -> dict[str, Any]:
    logits, seen = torch.randn(3, 6, generator=g), torch.rand(3, 6, generator=g) > 0.5
    return {f"penalty {p}": penalize(logits, seen, p) for p in (1.5, 0.8)}


def _sampled(sample: Any, g: torch.Generator) -> dict[str, Any]:
    logits = torch.randn(40, 7, generator=g, dtype=torch.float64) * 2
    draws = torch.rand(40, generator=g, dtype=torch.float64)
    ways: list[dict[str, Any]] = [
        {},
        {"temperature": 0.0},
        {"temperature": 0.3},
        {"top_k": 3},
        {"top_p": 0.6},
        {"min_p": 0.3},
        {"top_k": 4, "top_p": 0.7, "temperature": 1.7},
    ]
    found = {str(options or "as they are"): sample(logits, **options, draws=draws) for options in ways}
    certain = logits.masked_fill(logits < logits.amax(-1, keepdim=True), -torch.inf)
    return found | {"one token possible, nothing drawn yet": sample(certain, generator=g)}


def _greedy(greedy_search: Any, g: torch.Generator) -> dict[str, Any]:
    table = torch.randn(5, 5, generator=g, dtype=torch.float64)

    def step(tokens: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        scores = table.roll(1, 1)[tokens] + state[:, None] * torch.arange(5)
        return log_softmax(scores, -1)[0], state * 0.9

    found = {}
    for length in (3, 7):
        start = torch.tensor([0.0, 0.4, -0.4], dtype=torch.float64)
        decoded = greedy_search(step, start, batch_size=3, bos_id=0, eos_id=3, max_length=length, pad_id=9)
        found[f"max_length={length}"] = tuple(decoded)
    return found


def _first_k(kind: Any, g: torch.Generator) -> dict[str, Any]:
    scores, target = torch.randn(30, 5, generator=g).round(decimals=1), torch.randint(5, (30,), generator=g)
    found = {}
    for k in (2, 3):
        metric = kind(k)
        found[f"entries within the first {k}"] = metric._in_first_k(scores, target)
    return found


CHAPTERS = [
    Chapter(
        9,
        "Data",
        [
            Exercise(
                "one-hot",
                "a class as a row with a single 1",
                "ds_core.data.one_hot:one_hot",
                Results(_one_hot),
                hint="Rows of zeros, one for each label; then a 1 at the label's place. classes=None means "
                "the largest "
                "label and one.",
                theory="losses.md#One of several classes (`cross_entropy.py`)",
                formula="zeros of shape (*labels.shape, classes), then scatter a 1 along the last "
                "dimension at "
                "labels[..., None].",
            ),
            Exercise(
                "standard-scaler",
                "columns with mean 0 and deviation 1",
                "ds_core.data.scale:StandardScaler._fit",
                Results(_scaled),
                hint="Return offset and scale of each column, so that (x - offset) / scale is what is "
                "wanted.",
                theory="training.md#Validation",
                formula="offset = mean over the samples, scale = sqrt(mean (x - mean)^2).",
            ),
            Exercise(
                "min-max-scaler",
                "columns stretched over one range",
                "ds_core.data.scale:MinMaxScaler._fit",
                Results(_between),
                hint="Where must `low` go, and where `high`? Solve (x - offset) / scale for both.",
                theory="training.md#Validation",
                formula="scale = (high - low) / (b - a), offset = low - a scale.",
            ),
            Exercise(
                "windows-of-text",
                "inputs, and the same one token on",
                "ds_core.text.windows:sequential_windows",
                Results(_windows),
                hint="How many complete windows with a next token are there? Targets begin one token later.",
                theory="training.md#The loop",
                formula="count = (T - 1) // context; inputs ids[0 : count context], targets ids[1 : count "
                "context + 1], "
                "as (count, context), then cut into batches.",
            ),
            Exercise(
                "streams-of-text",
                "rows that go on where they stopped",
                "ds_core.text.windows:text_streams",
                Results(_streams),
                hint="Cut the text into batch_size long rows first; then yield `steps` columns at a time.",
                theory="training.md#The loop",
                formula="length = (T - 1) // B; row b of the inputs is ids[b length : (b + 1) length], the "
                "targets "
                "one token on; a chunk is the columns begin : begin + steps.",
            ),
            Exercise(
                "vocabulary",
                "which tokens get a number",
                "ds_core.text.vocabulary:Vocabulary.build",
                Results(_vocabulary),
                hint="Count; the special ones do not count. Frequent ones first, equally frequent ones in "
                "order.",
                theory="tokenizers.md#Word pieces",
                formula="sort by (-count, token); keep those with count >= min_count, and at most max_size "
                "less the "
                "special ones.",
            ),
        ],
    ),
    Chapter(
        10,
        "Choosing and counting",
        [
            Exercise(
                "repetition-penalty",
                "what has come is less likely",
                "ds_core.text.sampling:penalize_repetition",
                Results(_penalized),
                hint="Dividing a negative number makes it likelier: two cases.",
                theory="ds-transformer/decoding.md#Which token comes next",
                formula="z / penalty where z > 0, else z penalty, for the seen ones; the others stay.",
            ),
            Exercise(
                "sampling",
                "temperature, top k and the nucleus",
                "ds_core.text.sampling:sample",
                Results(_sampled),
                hint="One step after the other: greedy at temperature 0, top_k, softmax, top_p, min_p, "
                "then the first "
                "token whose\ncumulative probability exceeds draws times the sum of all.",
                theory="ds-transformer/decoding.md#Which token comes next",
                formula="top_p keeps a token if the probabilities of those before it sum to less than p; "
                "min_p if it "
                "is at least min_p times the likeliest. The draw: place = number of cumulative sums <= u * "
                "total.",
            ),
            Exercise(
                "greedy-search",
                "always the likeliest",
                "ds_core.text.greedy_search:greedy_search",
                Results(_greedy),
                hint="Sentences that have ended leave the batch: keep the rows that go on, and reorder the "
                "state.",
                theory="ds-transformer/decoding.md#Which token comes next",
                formula="log_p, state = step(latest, state); best, latest = log_p.max(-1); write at (rows, "
                "place), add "
                "to lengths and scores; go on with rows whose token is not eos_id.",
            ),
            Exercise(
                "first-k",
                "right within the first k guesses",
                "ds_core.metrics.accuracy:Accuracy._in_first_k",
                Results(_first_k),
                hint="How many classes rank before the target? Of equal scores the lower class is first.",
                theory="metrics.md#3. Accuracy within the first k",
                formula="before = (score > own) or (score = own and class < target); right if fewer than k "
                "are before.",
            ),
        ],
    ),
]
