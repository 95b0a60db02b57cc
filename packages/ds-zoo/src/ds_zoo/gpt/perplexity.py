"""Perplexity: how many tokens a model is torn between, on the mean, at each place of a text."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from ds_core.checks import check_whole, shape
from ds_core.functional import cross_entropy
from ds_core.module import evaluating
from torch import Tensor

from ds_zoo.gpt.model import MiniGPT


class Perplexity(NamedTuple):
    """How well a model expects a text.

    Attributes:
        perplexity: exp(loss).
        loss: mean of -log p(token | those before it), in nats.
        tokens: how many were predicted: all but the first.
    """

    perplexity: float
    loss: float
    tokens: int


@torch.no_grad()
def perplexity(model: MiniGPT, ids: Tensor, *, stride: int | None = None, batch_size: int = 16) -> Perplexity:
    """Measures a text of any length by a window that slides over it.

    loss = -1/(T-1) sum_t log p(x_t | x_b ... x_t-1),   b = where the window that predicts x_t begins

    Each window begins ``stride`` tokens after the one before and predicts only what that one has not: so
    every token is predicted once, and all beyond the first window see at least context - stride tokens.

    Args:
        model: predicts.
        ids: the text, ``(T,)``.
        stride: 1 gives every token all the context there is, and takes longest; None for half the context.
        batch_size: windows at a time.

    Raises:
        ValueError: if the text has less than two tokens, or the stride is not from 1 to the context.
        TypeError: if it is no tensor.
        IndexError: if a token is outside the vocabulary.
    """
    context = model.config.n_positions
    stride = max(1, context // 2) if stride is None else stride
    check_whole("perplexity", stride=stride, batch_size=batch_size)
    if not isinstance(ids, Tensor):
        raise TypeError(f"perplexity: expected token ids (T,), a tensor, got {type(ids).__name__}")
    if ids.dim() != 1 or len(ids) < 2:
        raise ValueError(f"perplexity: expected token ids (T,) of at least two tokens, got {shape(ids)}")
    if stride > context:
        raise ValueError(f"perplexity: expected a stride of at most {context} (the context), got {stride}")
    ids = ids.to(model.wte.weight.device)
    last = len(ids) - 1  # tokens that are predicted from: all but the last
    begins = list(range(0, max(1, last - context + stride), stride))
    total, done = 0.0, 0  # done: tokens predicted so far
    with evaluating(model):
        for first in range(0, len(begins), batch_size):
            some = begins[first : first + batch_size]
            ends = [min(begin + context, last) for begin in some]
            whole = [(b, e) for b, e in zip(some, ends, strict=True) if e - b == context]
            short = [(b, e) for b, e in zip(some, ends, strict=True) if e - b < context]  # the last one only
            for group in (whole, short):
                if not group:
                    continue
                logits = model(torch.stack([ids[b:e] for b, e in group]))  # (B, T, V)
                targets = torch.stack([ids[b + 1 : e + 1] for b, e in group])  # (B, T)
                for row, target, (begin, end) in zip(logits, targets, group, strict=True):
                    new = end - max(done, begin)
                    loss, _ = cross_entropy(row[-new:], target[-new:], reduction="sum")
                    total += loss.item()
                    done = end
    return Perplexity(perplexity_of(total / last), total / last, last)


def perplexity_of(loss: float) -> float:
    """Returns exp(loss), infinity where that is more than a number holds."""
    return math.exp(loss) if loss < 709 else math.inf
