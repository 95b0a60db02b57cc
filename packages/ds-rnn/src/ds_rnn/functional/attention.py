"""Attention of a decoder over what an encoder wrote: each forward with its backward below it.

B sequences; T queries each, the decoder's states; S keys and values each, the encoder's outputs.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class SavedAdditive(NamedTuple):
    """What the backward of additive scores needs."""

    features: Tensor  # (B, T, S, A), tanh(q + k)
    v: Tensor  # (A,)


def additive_scores(query: Tensor, keys: Tensor, v: Tensor) -> tuple[Tensor, SavedAdditive]:
    """Says how well each query matches each key, by a small network: s_ij = v . tanh(q_i + k_j).

    Args:
        query: ``(B, T, A)``.
        keys: ``(B, S, A)``.
        v: ``(A,)``.

    Returns:
        ``(B, T, S)``.

    Source: Bahdanau et al., Neural Machine Translation by Jointly Learning to Align and Translate (2015),
    section A.1.2.
    """
    f = torch.tanh(query[:, :, None] + keys[:, None])  # (B, T, S, A)
    return (f * v).sum(-1), SavedAdditive(f, v)


def additive_scores_backward(grad: Tensor, saved: SavedAdditive) -> tuple[Tensor, Tensor, Tensor]:
    """With d_ij = g_ij v (1 - f_ij^2):   dL/dq_i = sum_j d_ij,   dL/dk_j = sum_i d_ij,   dL/dv = sum g f."""
    f, v = saved
    grad_v = (grad[..., None] * f).sum((0, 1, 2))  # s = f . v
    d = grad[..., None] * v * (1 - f**2)  # f = tanh(q + k)
    return d.sum(2), d.sum(1), grad_v


def dot_scores(query: Tensor, keys: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Says how well each query matches each key, by their scalar product: s_ij = q_i . k_j.

    Args:
        query: ``(B, T, D)``.
        keys: ``(B, S, D)``.

    Returns:
        ``(B, T, S)``.

    Source: Luong et al., Effective Approaches to Attention-based Neural Machine Translation (2015), section
    3.1.
    """
    return query @ keys.transpose(1, 2), (query, keys)


def dot_scores_backward(grad: Tensor, saved: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """dL/dQ = G K,   dL/dK = G^T Q."""
    query, keys = saved
    return grad @ keys, grad.transpose(1, 2) @ query  # S = Q K^T


def attend(
    scores: Tensor, value: Tensor, hidden: Tensor | None = None
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Turns scores into weights, and takes the weighted mean of the values.

    a_i = softmax_j(s_ij),   c_i = sum_j a_ij v_j

    Args:
        scores: ``(B, T, S)``.
        value: ``(B, S, D)``.
        hidden: ``(B, S)``, True where a key is only padding: its weight is 0. Where all are, so is c.

    Returns:
        The contexts c ``(B, T, D)`` and the weights a ``(B, T, S)``.
    """
    s = scores if hidden is None else scores.masked_fill(hidden[:, None], -torch.inf)
    a = _softmax(s)
    return (a @ value, a), (a, value)


def attend_backward(
    grad: tuple[Tensor, Tensor | None], saved: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Returns the gradients of scores and values from (dL/dc, dL/da); dL/da may be None.

    With G = dL/dc:   dL/dV = a^T G,   da = dL/da + G V^T,   dL/ds_ij = a_ij (da_ij - sum_k da_ik a_ik)

    What is hidden has weight 0, and so gets no gradient.
    """
    a, value = saved
    grad_context, grad_weights = grad
    grad_value = a.transpose(1, 2) @ grad_context  # c = a V
    grad_a = grad_context @ value.transpose(1, 2)  # c = a V
    grad_a = grad_a if grad_weights is None else grad_a + grad_weights
    return a * (grad_a - (grad_a * a).sum(-1, keepdim=True)), grad_value  # a = softmax(s)


def _softmax(s: Tensor) -> Tensor:
    """Returns exp(s_j) / sum_k exp(s_k); zeros where all s are -inf."""
    if s.numel() == 0:
        return s
    highest = s.detach().amax(-1, keepdim=True)  # the quotient is the same whatever is subtracted
    highest = highest.clamp(min=torch.finfo(s.dtype).min)  # -inf less -inf is not a number
    e = torch.exp(s - highest)
    return e / e.sum(-1, keepdim=True).clamp(min=1)  # a sum is 0, or the highest s alone adds 1
