"""Scaled dot-product attention: every query takes a mean of the values, each as much as its key matches."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ds_transformer.functional.dropout_factors import dropout_factors
from ds_transformer.masks import causal_mask


class Saved(NamedTuple):
    """What the backward needs."""

    query: Tensor  # (..., H, T, D)
    key: Tensor  # (..., H, S, D)
    value: Tensor  # (..., H, S, E)
    probabilities: Tensor  # (..., H, T, S)
    kept: Tensor | None  # (..., H, T, S), the factors of dropout
    mask: Tensor | None
    scale: float
    shared: int  # how many heads of queries share a head of keys and values


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    scale: float | None = None,
    is_causal: bool = False,
    past: int = 0,
    noise: tuple[Tensor, Tensor] | None = None,
    dropout_p: float = 0.0,
) -> tuple[tuple[Tensor, Tensor], Saved]:
    """Lets every query take a mean of the values, weighted by how well it matches their keys.

    A = scale Q K^T + mask,   P = softmax(A),   W = dropout(P),   out = W V

    A query from which every key is hidden gets zeros.

    Args:
        query: Q, ``(..., H, T, D)``.
        key: K, ``(..., H, S, D)``; or with fewer heads, each of which serves several neighbours of Q.
        value: V, ``(..., H, S, E)``, as many as keys.
        mask: boolean, True where a key is hidden, or numbers added to the scores; it broadcasts to
            ``(..., H, T, S)``.
        scale: what the products are multiplied by; None for 1 / sqrt(D).
        is_causal: whether query t sees keys 0 ... past + t only, besides what the mask hides.
        past: how many keys come before the first query.
        noise: what dropout drops, see :func:`dropout_factors`; None for nothing.
        dropout_p: the share of the weights that it drops.

    Returns:
        out ``(..., H, T, E)`` and the weights W ``(..., H, T, S)``; and what the backward needs.

    Source: Vaswani et al., Attention Is All You Need (2017), equation 1; Ainslie et al., GQA: Training
    Generalized Multi-Query Transformer Models from Multi-Head Checkpoints (2023), section 2.2.
    """
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    shared = 1 if query.dim() == 2 else query.shape[-3] // max(1, key.shape[-3])
    key, value = _repeat(key, shared), _repeat(value, shared)
    scores = scale * (query @ key.mT)  # (..., H, T, S)
    if mask is not None:
        scores = scores.masked_fill(mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    if is_causal:
        ahead = causal_mask(scores.shape[-2], scores.shape[-1], past, device=scores.device)
        scores = scores.masked_fill(ahead, -torch.inf)
    probabilities = _softmax(scores)
    kept = None if noise is None else dropout_factors(*noise, dropout_p, scores)
    weights = probabilities if kept is None else probabilities * kept
    out = weights @ value
    return (out, weights), Saved(query, key, value, probabilities, kept, mask, scale, shared)


def attention_backward(
    grad: tuple[Tensor, Tensor | None], saved: Saved
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Returns the gradients of query, key, value and of numbers in the mask, from those of out and W.

    dV = W^T g,   dW = g V^T,   dP = dropout(dW),   dA = P (dP - sum_s P dP),
    dQ = scale dA K,   dK = scale dA^T Q,   d(mask) = dA
    """
    grad_out, grad_weights = grad
    query, key, value, probabilities, kept, mask, scale, shared = saved
    weights = probabilities if kept is None else probabilities * kept
    grad_value = weights.mT @ grad_out  # out = W V
    grad_p = grad_out @ value.mT  # out = W V
    grad_p = grad_p if grad_weights is None else grad_p + grad_weights  # W itself
    grad_p = grad_p if kept is None else grad_p * kept  # W = dropout(P)
    mean = (probabilities * grad_p).sum(-1, keepdim=True)  # P = softmax(A)
    grad_scores = probabilities * (grad_p - mean)  # P = softmax(A)
    grad_mask = None
    if mask is not None and mask.dtype != torch.bool:
        grad_mask = grad_scores.sum_to_size(mask.shape)  # A = scale Q K^T + mask
    grad_query = scale * (grad_scores @ key)  # A = scale Q K^T + mask
    grad_key = scale * (grad_scores.mT @ query)  # A = scale Q K^T + mask
    return grad_query, _repeat_backward(grad_key, shared), _repeat_backward(grad_value, shared), grad_mask


def _softmax(scores: Tensor) -> Tensor:
    """Returns softmax over the keys; zeros where all scores are -inf."""
    if scores.numel() == 0:
        return scores
    highest = scores.detach().amax(-1, keepdim=True)  # the quotient is the same whatever is subtracted
    highest = highest.clamp(min=torch.finfo(scores.dtype).min)  # -inf less -inf is not a number
    e = (scores - highest).exp()
    return e / e.sum(-1, keepdim=True).clamp(min=1)  # a sum is 0, or the highest score alone adds 1


def _repeat(x: Tensor, shared: int) -> Tensor:
    """Repeats each head for those that share it."""
    return x if shared == 1 else x.repeat_interleave(shared, -3)


def _repeat_backward(grad: Tensor, shared: int) -> Tensor:
    """Adds up the gradients of a head's copies."""
    return grad if shared == 1 else grad.unflatten(-3, (-1, shared)).sum(-3)
