"""Attention of a decoder over what an encoder wrote: each forward with its backward below it.

B sequences; T queries each, the decoder's states; S keys and values each, the encoder's outputs.
"""

from __future__ import annotations

import torch
from ds_core.functional.elementary import reuse
from ds_core.functional.softmax import softmax, softmax_backward
from torch import Tensor


def additive_scores(query: Tensor, keys: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Says how well each query matches each key, by a small network.

    s_ij = v . tanh(q_i + k_j)

    Args:
        query: ``(B, T, A)``.
        keys: ``(B, S, A)``.
        v: ``(A,)``.

    Returns:
        The scores ``(B, T, S)``, and f = tanh(q + k), ``(B, T, S, A)``, for the backward.

    Source: Bahdanau et al., Neural Machine Translation by Jointly Learning to Align and Translate (2015),
    section A.1.2.
    """
    sums = query[:, :, None] + keys[:, None]  # (B, T, S, A)
    features = torch.tanh(sums, out=reuse(sums))
    scores = features.view(-1, len(v)) @ v[:, None]
    return scores.view(features.shape[:-1]), features


def additive_scores_backward(grad: Tensor, features: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the gradients of query and keys; that of v is :func:`additive_scores_backward_v`.

    With d_ij = g_ij v (1 - f_ij^2):   dL/dq_i = sum_j d_ij,   dL/dk_j = sum_i d_ij

    Args:
        grad: g = dL/ds, ``(B, T, S)``.
        features: f, from the forward.
        v: ``(A,)``.
    """
    squares = features * features
    slopes = torch.addcmul(v, squares, v, value=-1, out=squares)  # v (1 - f^2)
    slopes *= grad[..., None]
    return slopes.sum(2), slopes.sum(1)


def additive_scores_backward_v(grad: Tensor, features: Tensor) -> Tensor:
    """Returns dL/dv = sum_ij g_ij f_ij, ``(A,)``."""
    return (grad.reshape(1, -1) @ features.view(-1, features.shape[-1])).view(-1)


def dot_scores(query: Tensor, keys: Tensor) -> Tensor:
    """Says how well each query matches each key, by their scalar product.

    s_ij = q_i . k_j

    Args:
        query: ``(B, T, D)``.
        keys: ``(B, S, D)``.

    Returns:
        ``(B, T, S)``.

    Source: Luong et al., Effective Approaches to Attention-based Neural Machine Translation (2015), section
    3.1.
    """
    return query @ keys.transpose(1, 2)


def dot_scores_backward(grad: Tensor, query: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the gradients of query and keys: dL/dQ = G K, dL/dK = G^T Q."""
    return grad @ keys, grad.transpose(1, 2) @ query


def attend(scores: Tensor, value: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Turns scores into weights, and takes the weighted mean of the values.

    a_i = softmax_j(s_ij),   c_i = sum_j a_ij v_j

    Args:
        scores: ``(B, T, S)``.
        value: ``(B, S, D)``.
        hidden: ``(B, S)``, True where a key is only padding: its weight is 0. Where all are, so is c.

    Returns:
        The contexts c ``(B, T, D)``, and the weights a ``(B, T, S)``, which the backward needs, too.
    """
    if hidden is None:
        weights = softmax(scores)
    else:
        # Not -inf: where everything is hidden, that would give infinity less infinity.
        hidden = hidden[:, None]
        seen = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
        weights = softmax(seen, out=reuse(seen)).masked_fill(hidden, 0)
    return weights @ value, weights


def attend_backward(
    grad: Tensor, weights: Tensor, value: Tensor, grad_weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Returns the gradients of scores and values.

    dL/da = G V^T,   dL/ds_ij = a_ij (da_ij - sum_k da_ik a_ik),   dL/dV = a^T G

    What is hidden has weight 0, and so gets no gradient.

    Args:
        grad: G = dL/dc, ``(B, T, D)``.
        weights: a, from the forward.
        value: ``(B, S, D)``.
        grad_weights: what else depends on the weights, ``(B, T, S)``; None for nothing.
    """
    total = grad @ value.transpose(1, 2)  # (B, T, S)
    if grad_weights is not None:
        total += grad_weights
    return softmax_backward(total, weights), weights.transpose(1, 2) @ grad
