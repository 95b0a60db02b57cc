"""Attention on a processor: all scores at once where they are few, block by block where they are many."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from ds_core.kernels import branch, kernel, matmul
from ds_core.kernels.elementary import softmax
from torch import Tensor

from ds_transformer.functional import attention
from ds_transformer.kernels.blockwise import SavedBlocks, in_blocks, in_blocks_backward
from ds_transformer.kernels.noise import Noise
from ds_transformer.masks import causal_mask

# From this many queries times keys on, they are taken in blocks, which takes as long and keeps no scores;
# fewer scores are hardly more than the queries and keys themselves.
BLOCKWISE_FROM = 40 * 40

Grads = tuple[Tensor, Tensor, Tensor, Tensor | None]


class SavedScores(NamedTuple):
    """What the backward of the plain form needs; N counts batch times heads of the key.

    The G heads of queries that share one of them lie one after the other, as if they were one head of G T
    queries.
    """

    query: Tensor  # (N, G T, D)
    key: Tensor  # (N, S, D)
    value: Tensor  # (N, S, E)
    probabilities: Tensor  # (N, G T, S), after softmax, before dropout
    weights: Tensor  # (N, G T, S), after dropout
    noise: Noise | None
    mask: Tensor | None  # as given
    scale: float
    heads: tuple[int, ...]  # (..., H), the leading dimensions of the query
    key_heads: tuple[int, ...]  # (..., H_kv), those of key and value


@kernel(attention, branches=("plain", "blockwise", "small scores", "any scores"))
class AttentionKernel:
    """Works in place on the scores, which the plain form holds all at once.

    Hints: ``blockwise`` chooses the form, None by the number of scores; ``need_weights`` says that somebody
    reads the weights, which only the plain form has.
    """

    @staticmethod
    def forward(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None = None,
        scale: float | None = None,
        is_causal: bool = False,
        past: int = 0,
        noise: tuple[Tensor, Tensor] | None = None,
        dropout_p: float = 0.0,
        *,
        blockwise: bool | None = None,
        need_weights: bool = True,
    ) -> tuple[tuple[Tensor, Tensor | None], SavedScores | SavedBlocks]:
        scale = query.shape[-1] ** -0.5 if scale is None else scale
        drops = None if noise is None else Noise(*noise, dropout_p)
        if blockwise is None:
            blockwise = query.shape[-2] * key.shape[-2] >= BLOCKWISE_FROM
        if need_weights or not blockwise:
            branch("AttentionKernel: plain")
            return _plain(query, key, value, mask, scale, is_causal, past, drops)
        branch("AttentionKernel: blockwise")
        out, saved = in_blocks(query, key, value, mask, scale, is_causal, past, drops)
        return (out, None), saved

    @staticmethod
    def backward(
        grad: tuple[Tensor, Tensor | None],
        saved: SavedScores | SavedBlocks,
        *,
        wanted: tuple[bool, ...] | None = None,
    ) -> Grads:
        want_mask = saved.mask is not None and (wanted is None or wanted[3])
        if isinstance(saved, SavedBlocks):
            return in_blocks_backward(grad[0], saved, want_mask)
        return _plain_backward(*grad, saved, want_mask)


def _plain(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scale: float,
    is_causal: bool,
    past: int,
    noise: Noise | None,
) -> tuple[tuple[Tensor, Tensor], SavedScores]:
    heads, key_heads = query.shape[:-2], key.shape[:-2]
    queries, keys = query.shape[-2], key.shape[-2]
    n, groups = math.prod(key_heads), math.prod(heads) // max(1, math.prod(key_heads))
    query = query.reshape(n, groups * queries, query.shape[-1])  # (N, G T, D)
    key, value = (x.reshape(n, *x.shape[-2:]) for x in (key, value))  # (N, S, D), (N, S, E)
    bias = query.new_zeros(())  # with beta 0 it is not even read
    causal = is_causal and past + 1 < keys  # else even the first query sees every key
    if causal:
        ahead = causal_mask(queries, keys, past, device=query.device)
        bias = torch.zeros_like(ahead, dtype=query.dtype).masked_fill_(ahead, -torch.inf)
        bias = bias.expand(groups, -1, -1).reshape(query.shape[1], keys)  # (G T, S)
    scores = matmul.baddbmm(bias, query, key.mT, alpha=scale, beta=int(causal))  # (N, G T, S)
    if mask is not None:
        by_head = scores.view(*heads, queries, keys)
        by_head.masked_fill_(mask, -torch.inf) if mask.dtype == torch.bool else by_head.add_(mask)
    probabilities = softmax(scores, hidden_to_zero=True, out=scores)
    weights = probabilities
    if noise is not None:
        weights = noise.drop(probabilities.view(*heads, queries, keys)).view(probabilities.shape)
    out = matmul.bmm(weights, value).view(*heads, queries, value.shape[2])
    saved = SavedScores(query, key, value, probabilities, weights, noise, mask, scale, heads, key_heads)
    return (out, weights.view(*heads, queries, keys)), saved


def _plain_backward(
    grad_out: Tensor, grad_weights: Tensor | None, saved: SavedScores, want_mask: bool
) -> Grads:
    query, key, value, probabilities, weights, noise, mask, scale, heads, key_heads = saved
    by_head = (*heads, grad_out.shape[-2], key.shape[1])
    g = grad_out.reshape(*query.shape[:2], grad_out.shape[-1])  # (N, G T, E)
    grad_value = matmul.bmm(weights.mT, g)  # (N, S, E)
    grad_scores = matmul.bmm(g, value.mT)  # (N, G T, S)
    if grad_weights is not None:
        grad_scores.add_(grad_weights.reshape(grad_scores.shape))
    if noise is not None:
        grad_scores = noise.drop(grad_scores.view(by_head), out=grad_scores.view(by_head)).view_as(
            grad_scores
        )
    grad_scores.mul_(probabilities)
    grad_scores.addcmul_(probabilities, grad_scores.sum(-1, keepdim=True), value=-1)
    zero = query.new_zeros(())
    grad_query = matmul.baddbmm(zero, grad_scores, key, beta=0, alpha=scale)  # (N, G T, D)
    grad_key = matmul.baddbmm(zero, grad_scores.mT, query, beta=0, alpha=scale)  # (N, S, D)
    grad_mask = None
    if want_mask and mask is not None and mask.is_floating_point():
        grad_mask = grad_scores.view(by_head).sum_to_size(mask.shape)
    return (
        grad_query.view(*heads, *by_head[-2:-1], query.shape[2]),
        grad_key.view(*key_heads, *key.shape[1:]),
        grad_value.view(*key_heads, *value.shape[1:]),
        grad_mask,
    )
