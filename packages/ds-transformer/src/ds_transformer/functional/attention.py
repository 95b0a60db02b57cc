"""Scaled dot-product attention, forward and backward, one above the other: the plain form.

It holds the scores of every query and every key at once, ``(..., T, S)``, so that each can be looked at.
:mod:`ds_transformer.functional.blockwise` computes the same without ever holding them all.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from ds_core.checks import shape
from ds_core.functional.dropout import dropout, dropout_backward
from ds_core.functional.elementary import reuse
from ds_core.functional.softmax import softmax, softmax_backward
from torch import Tensor


class SavedAttention(NamedTuple):
    """What the backward of attention needs from its forward.

    N counts batch times heads of the key. The G heads of queries that share one of them lie one after the
    other, as if they were one head of G T queries.
    """

    query: Tensor  # (N, G T, D)
    key: Tensor  # (N, S, D)
    value: Tensor  # (N, S, E)
    mask: Tensor | None  # as given
    scale: float
    probabilities: Tensor  # (N, G T, S), after softmax, before dropout
    weights: Tensor  # (N, G T, S), after dropout
    kept: Tensor | None  # (N, G T, S), what dropout kept
    dropout_p: float
    heads: tuple[int, ...]  # (..., H), the leading dimensions of the query
    key_heads: tuple[int, ...]  # (..., H_kv), those of key and value


class AttentionGradients(NamedTuple):
    """The gradients of attention's inputs, each shaped like its input."""

    query: Tensor  # (..., H, T, D)
    key: Tensor  # (..., H_kv, S, D)
    value: Tensor  # (..., H_kv, S, E)
    mask: Tensor | None  # of an additive mask, if it was wanted


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    past: int = 0,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, SavedAttention]:
    """Lets every query take a weighted mean of the values, weighted by how well it matches the keys.

    A = scale Q K^T + mask,   P = softmax(A),   out = dropout(P) V

    A query from which every key is hidden gets zeros.

    Args:
        query: ``(..., H, T, D)``.
        key: ``(..., H, S, D)``.
        value: ``(..., H, S, E)``.
        attn_mask: boolean, True where a query may look at a key, or numbers added to the scores; shaped so
            that it broadcasts to ``(..., H, T, S)``.
        dropout_p: the share of weights set to zero.
        is_causal: whether query t looks at keys 0 ... past + t only, besides what the mask hides.
        scale: what the products are multiplied by; None for 1 / sqrt(D).
        enable_gqa: whether key and value may have fewer heads: then each serves H / H_kv queries' heads, one
            after the other (grouped-query attention).
        past: how many keys come before the first query, as with a cache.
        generator: source of dropout's random numbers.

    Returns:
        The output ``(..., H, T, E)`` and what the backward needs.

    Raises:
        ValueError: if shapes do not fit.
        TypeError: if the mask is neither boolean nor of the query's dtype.

    Source: Vaswani et al., Attention Is All You Need (2017), equation 1; Ainslie et al., GQA: Training
    Generalized Multi-Query Transformer Models from Multi-Head Checkpoints (2023), section 2.2.
    """
    check_attention(query, key, value, attn_mask, enable_gqa)
    heads, key_heads, queries = query.shape[:-2], key.shape[:-2], query.shape[-2]
    n, groups = math.prod(key_heads), math.prod(heads) // max(1, math.prod(key_heads))
    query = query.reshape(n, groups * queries, query.shape[-1])  # (N, G T, D)
    key, value = (x.reshape(n, *x.shape[-2:]) for x in (key, value))  # (N, S, D), (N, S, E)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    bias = None
    if is_causal and past + 1 < key.shape[1]:  # else even the first query sees every key
        bias = additive(causally_hidden(queries, key.shape[1], past, query.device), query.dtype)
        bias = bias.expand(groups, -1, -1).reshape(query.shape[1], key.shape[1])  # (G T, S)
    scores = scaled_product(query, key.mT, scale, bias)  # (N, G T, S)
    scores = add_mask(scores.view(*heads, queries, key.shape[1]), attn_mask).view(scores.shape)
    probabilities = softmax(scores, hidden_to_zero=True, out=reuse(scores))
    weights, kept = probabilities, None
    if dropout_p > 0:
        weights, kept = dropout(probabilities, dropout_p, generator)
    out = (weights @ value).view(*heads, queries, value.shape[2])
    return out, SavedAttention(
        query, key, value, attn_mask, scale, probabilities, weights, kept, dropout_p, heads, key_heads
    )


def scaled_dot_product_attention_backward(
    grad: Tensor, saved: SavedAttention, *, grad_weights: Tensor | None = None, want_mask: bool = False
) -> AttentionGradients:
    """Returns the gradients of query, key, value and, if wanted, of the mask.

    With W = dropout(P) the weights and g = dL/d(out):   dV = W^T g,   dW = g V^T,   dP = dropout(dW),
    dA = P * (dP - sum_s dP * P),   dQ = scale dA K,   dK = scale dA^T Q,   d(mask) = dA

    Args:
        grad: g, ``(..., H, T, E)``.
        saved: from the forward.
        grad_weights: what else arrives at the weights, ``(..., H, T, S)``, if somebody used them.
        want_mask: whether the gradient of an additive mask is wanted.
    """
    query, key, value, mask, scale, probabilities, weights, kept, dropout_p, heads, key_heads = saved
    queries = grad.shape[-2]
    grad = grad.reshape(*query.shape[:2], grad.shape[-1])  # (N, G T, E)
    grad_value = weights.mT @ grad  # (N, S, E)
    grad_scores = grad @ value.mT  # (N, G T, S)
    if grad_weights is not None:
        grad_scores += grad_weights.reshape(grad_scores.shape)
    if kept is not None:
        grad_scores = dropout_backward(grad_scores, kept, dropout_p)
    grad_scores = softmax_backward(grad_scores, probabilities)
    grad_query = scaled_product(grad_scores, key, scale)  # (N, G T, D)
    grad_key = scaled_product(grad_scores.mT, query, scale)  # (N, S, D)
    grad_mask = None
    if want_mask and mask is not None:
        grad_mask = sum_to(grad_scores.view(*heads, queries, key.shape[1]), mask.shape)
    return AttentionGradients(
        grad_query.view(*heads, queries, query.shape[2]),
        grad_key.view(*key_heads, *key.shape[1:]),
        grad_value.view(*key_heads, *value.shape[1:]),
        grad_mask,
    )


# ---- what both forms of attention share ------------------------------------------------------------------


def check_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, enable_gqa: bool
) -> None:
    """Holds shapes and types together, as :func:`scaled_dot_product_attention` says them."""
    name = "scaled_dot_product_attention"
    if query.dim() < 2 or key.dim() != query.dim() or value.dim() != query.dim():
        raise ValueError(
            f"{name}: expected query (..., T, D), key (..., S, D) and value (..., S, E) of as many "
            "dimensions, got "
            f"{shape(query)}, {shape(key)} and {shape(value)}"
        )
    if key.shape[-1] != query.shape[-1]:
        raise ValueError(
            f"{name}: expected query and key of one width, got {query.shape[-1]} and {key.shape[-1]}"
        )
    if key.shape[:-1] != value.shape[:-1]:
        raise ValueError(
            f"{name}: expected as many values as keys, got key {shape(key)} and value {shape(value)}"
        )
    if query.shape[:-2] != key.shape[:-2]:
        grouped = (
            enable_gqa
            and query.dim() > 2
            and query.shape[:-3] == key.shape[:-3]
            and query.shape[-3] % max(1, key.shape[-3]) == 0
        )
        if not grouped:
            wish = "heads that those of the key divide" if enable_gqa else "the leading dimensions of the key"
            raise ValueError(f"{name}: expected query with {wish}, got {shape(query)} and {shape(key)}")
    if attn_mask is not None:
        full = (*query.shape[:-1], key.shape[-2])
        if attn_mask.dtype not in (torch.bool, query.dtype):
            raise TypeError(
                f"{name}: expected a mask of torch.bool (True: may look) or {query.dtype} (added to the "
                "scores), "
                f"got {attn_mask.dtype}"
            )
        sizes = zip(reversed(attn_mask.shape), reversed(full), strict=False)
        if attn_mask.dim() > len(full) or any(ours not in (1, theirs) for ours, theirs in sizes):
            raise ValueError(
                f"{name}: expected a mask that broadcasts to {full}, queries by keys, got {shape(attn_mask)}"
            )


def causally_hidden(queries: int, keys: int, past: int, device: torch.device) -> Tensor:
    """Returns ``(T, S)``, True where a key lies ahead of a query: s > past + t."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).triu(past + 1)


def additive(hidden: Tensor, dtype: torch.dtype) -> Tensor:
    """Turns True, for hidden, into -inf and False into 0."""
    return torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill_(hidden, -torch.inf)


def add_mask(scores: Tensor, mask: Tensor | None, scale: float = 1.0) -> Tensor:
    """Returns scores that a mask has been added to, scaled, or -inf where a boolean mask says False."""
    if mask is None:
        return scores
    taped = torch.is_grad_enabled()
    if mask.dtype == torch.bool:
        hidden = ~mask
        return scores.masked_fill(hidden, -torch.inf) if taped else scores.masked_fill_(hidden, -torch.inf)
    return torch.add(scores, mask, alpha=scale) if taped else scores.add_(mask, alpha=scale)


def scaled_product(
    a: Tensor, b: Tensor, scale: float, bias: Tensor | None = None, *, out: Tensor | None = None
) -> Tensor:
    """Returns scale a b + bias in one pass, for ``(N, T, K)`` times ``(N, K, S)``."""
    if bias is None:
        zero = a.new_zeros(())  # beta 0: it is not even read
        return torch.baddbmm(zero, a, b, beta=0, alpha=scale, out=out)
    return torch.baddbmm(bias, a, b, alpha=scale, out=out)


def sum_to(x: Tensor, size: torch.Size) -> Tensor:
    """Sums over the dimensions along which a tensor of a given size was repeated to be like x."""
    ahead = x.dim() - len(size)
    dims = [d for d in range(x.dim()) if d < ahead or size[d - ahead] < x.shape[d]]
    return (x.sum(dims) if dims else x.clone()).view(size)
