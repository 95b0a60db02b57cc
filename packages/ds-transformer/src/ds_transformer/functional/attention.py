"""Scaled dot-product attention, forward and backward, one above the other."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from ds_core.functional.elementary import reuse
from ds_core.functional.softmax import softmax, softmax_backward
from torch import Tensor


class SavedAttention(NamedTuple):
    """What the backward of attention needs from its forward."""

    query: Tensor  # (N, T, D)
    key: Tensor  # (N, S, D)
    value: Tensor  # (N, S, D)
    weights: Tensor  # (N, T, S), after softmax and dropout
    kept: Tensor | None  # (N, T, S), dropout's mask scaled by 1/(1-p); None without dropout
    probabilities: Tensor  # (N, T, S), after softmax, before dropout


def causal_bias(queries: int, keys: int, like: Tensor) -> Tensor:
    """Returns what is added to the scores so that no query sees a later key: 0 where allowed, else -inf.

    The last query sits at the last key's position, so with a cache of earlier keys the bias has more
    columns than rows.

    Shape:
        -> ``(queries, keys)``, dtype and device of ``like``.
    """
    hidden = torch.ones(queries, keys, dtype=torch.bool, device=like.device).triu(keys - queries + 1)
    zeros = torch.zeros(queries, keys, dtype=like.dtype, device=like.device)
    return zeros.masked_fill_(hidden, float("-inf"))


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None = None,
    dropout: float = 0.0,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, SavedAttention]:
    """Lets every query take a weighted mean of the values, weighted by how well it matches the keys.

    out = softmax(Q K^T / sqrt(D) + bias) V

    Args:
        query: ``(N, T, D)``; N counts batch times heads.
        key: ``(N, S, D)``.
        value: ``(N, S, D)``.
        bias: ``(T, S)`` or ``(N, T, S)``, added to the scores; -inf hides a key from a query.
        dropout: the share of weights set to zero.
        generator: source of dropout's random numbers.

    Returns:
        The output ``(N, T, D)`` and what the backward needs.

    Source: Vaswani et al., Attention Is All You Need (2017), equation 1.
    """
    scale = 1 / math.sqrt(query.shape[-1])
    scores = scaled_product(query, key.transpose(-1, -2), scale, bias)  # (N, T, S)
    probabilities = softmax(scores, out=reuse(scores))
    weights, kept = probabilities, None
    if dropout > 0:
        kept = torch.rand(scores.shape, generator=generator, dtype=scores.dtype, device=scores.device)
        kept = (kept >= dropout).to(scores.dtype) * (1 / (1 - dropout))
        weights = probabilities * kept
    return weights @ value, SavedAttention(query, key, value, weights, kept, probabilities)


def scaled_dot_product_attention_backward(
    grad: Tensor, saved: SavedAttention
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the gradients of query, key and value.

    With W the weights, P the probabilities, A the scores:
    dV = W^T g,   dW = g V^T,   dA = P * (dP - sum_s dP * P),   dQ = dA K / sqrt(D),   dK = dA^T Q / sqrt(D)

    Args:
        grad: dL/d(output), ``(N, T, D)``.
        saved: from the forward.
    """
    query, key, value, weights, kept, probabilities = saved
    grad_value = weights.transpose(-1, -2) @ grad  # (N, S, D)
    grad_weights = grad @ value.transpose(-1, -2)  # (N, T, S)
    if kept is not None:
        grad_weights *= kept
    grad_scores = softmax_backward(grad_weights, probabilities)
    scale = 1 / math.sqrt(query.shape[-1])
    grad_query = scaled_product(grad_scores, key, scale)  # (N, T, D)
    grad_key = scaled_product(grad_scores.transpose(-1, -2), query, scale)  # (N, S, D)
    return grad_query, grad_key, grad_value


def scaled_product(a: Tensor, b: Tensor, scale: float, bias: Tensor | None = None) -> Tensor:
    """Returns scale a b + bias in one pass, for ``(N, T, K)`` times ``(N, K, S)``."""
    if bias is None:
        return torch.baddbmm(a.new_zeros(()), a, b, beta=0, alpha=scale)  # beta 0: the zero is not even read
    return torch.baddbmm(bias, a, b, alpha=scale)
