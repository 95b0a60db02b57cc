"""Attention block by block: the full matrix of scores is never in memory.

Some heads and some queries are taken at a time, and their keys in blocks, too. The softmax of a row is found
*online*: of the blocks so far its largest score m and the sum z of exp(score - m) are kept, and the output
that belongs to them; where a block brings a larger score, what there is shrinks by exp(m - m'). Of every row,
the backward keeps only the logarithm of the sum, and computes each block of probabilities once more.

Scores are multiplied by log2(e), so that 2^x stands for exp(x): it takes a third of the time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from ds_core.functional.dropout import dropout, dropout_backward
from ds_core.functional.elementary import LOG2_E
from torch import Tensor

from ds_transformer.functional.attention import (
    AttentionGradients,
    add_mask,
    causally_hidden,
    check_attention,
    scaled_product,
)

# Several heads in a block keep all cores busy with a product each; rows of 768 numbers, unlike rows of 1,024,
# do not fall on the same lines of a processor's cache.
QUERIES = 256  # in a block, at most
KEYS = 768  # in a block, at most
SCORES = 4 * QUERIES * KEYS  # in a block, about: three mebibytes of float32


class SavedBlockwise(NamedTuple):
    """What the backward needs from the forward; N counts batch times heads."""

    query: Tensor  # (N, T, D)
    key: Tensor  # (N, S, D)
    value: Tensor  # (N, S, E)
    out: Tensor  # (N, T, E)
    log_sum: Tensor  # (N, T, 1), log2 of the sum of 2^score
    mask: Mask
    scale: float
    dropout_p: float
    seed: int  # of dropout
    heads: tuple[int, ...]  # (..., H), the leading dimensions of the query
    key_heads: tuple[int, ...]  # (..., H_kv), those of key and value


def blockwise_attention(
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
) -> tuple[Tensor, SavedBlockwise]:
    """Computes what :func:`scaled_dot_product_attention` does, whose arguments it takes, in little memory.

    For each block of keys, with m, z, y from -inf, 0, 0 on:   m' = max(m, max A),   P = exp(A - m'),
    z' = z exp(m - m') + sum P,   y' = y exp(m - m') + dropout(P) V;   at the end   out = y / z

    Dropout draws other numbers than in the plain form. Under torch's tape memory is not spared: the tape
    keeps every block.

    Returns:
        The output ``(..., H, T, E)`` and what the backward needs.

    Source: Milakov, Gimelshein, Online normalizer calculation for softmax (2018), algorithm 3; Rabe, Staats,
    Self-attention Does Not Need O(n^2) Memory (2021); Dao et al., FlashAttention (2022), algorithm 1.
    """
    check_attention(query, key, value, attn_mask, enable_gqa)
    heads, key_heads = query.shape[:-2], key.shape[:-2]
    mask = Mask(attn_mask, (*query.shape[:-1], key.shape[-2]), is_causal, past)
    query, key, value = matrices(query, key, value)  # (N, T, D), (N, S, D), (N, S, E)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    device = None if generator is None else generator.device
    drawn = torch.rand((), generator=generator, device=device, dtype=torch.float64) if dropout_p > 0 else 0
    seed = int(drawn * 2**53)
    drops = torch.Generator(query.device).manual_seed(seed)
    taped = torch.is_grad_enabled()
    scratch = Scratch(query, key)
    out = query.new_zeros(*query.shape[:2], value.shape[2])
    log_sum = query.new_zeros(*query.shape[:2], 1)
    pieces: list[Tensor] = []  # of the output, for the tape, which does not allow it to be written into

    for n, t, key_blocks in blocks(query, key, mask):
        q = query[n, t]  # (n, t, D)
        m = z = y = q.new_zeros(())
        for i, s in enumerate(key_blocks):
            k, v = key[n, s], value[n, s]  # (n, s, D), (n, s, E)
            a = scaled_product(q, k.mT, scale * LOG2_E, out=None if taped else scratch(0, q, k))
            a = mask.hide(a, n, t, s)  # (n, t, s)
            highest = a.detach().amax(-1, keepdim=True)
            # Where all is hidden so far, it is -inf: -inf less this is -inf, less itself it would be NaN.
            highest = highest.clamp(min=torch.finfo(a.dtype).min)
            larger = highest if i == 0 else torch.maximum(m, highest)
            p = torch.sub(a, larger, out=None if taped else a)
            p = torch.exp2(p, out=None if taped else p)
            total = p.sum(-1, keepdim=True)  # (n, t, 1)
            if dropout_p > 0:
                p, _ = dropout(p, dropout_p, drops)
            if i == 0:
                z, y = total, p @ v
            else:
                shrink = torch.exp2(m - larger)
                z, y = z * shrink + total, torch.baddbmm(y * shrink, p, v)
            m = larger
        z = z.clamp(min=1)  # 0 where all is hidden; elsewhere the largest score alone adds 1
        if taped:
            pieces.append((y / z).expand(*q.shape[:2], value.shape[2]))
        elif key.shape[1]:
            torch.div(y, z, out=out[n, t])
            torch.add(m, z.log2(), out=log_sum[n, t])
    if taped:
        out = put_together(pieces, out)
    saved = SavedBlockwise(query, key, value, out, log_sum, mask, scale, dropout_p, seed, heads, key_heads)
    return out.view(*heads, *out.shape[1:]), saved


def blockwise_attention_backward(
    grad: Tensor, saved: SavedBlockwise, *, want_mask: bool = False
) -> AttentionGradients:
    """Returns the gradients of query, key, value and, if wanted, of an additive mask.

    With P = exp(A - log sum), computed again, and W = dropout(P), for each block:
    dV += W^T g,   dA = P * (dropout(g V^T) - g . out),   dQ += scale dA K,   dK += scale dA^T Q

    The sum over all keys in the backward of softmax, sum_s P dP, is g . out: no block needs another.

    Args:
        grad: g = dL/d(out), ``(..., H, T, E)``.
        saved: from the forward.
        want_mask: whether the gradient of an additive mask is wanted.

    Source: Dao et al., FlashAttention (2022), algorithm 4.
    """
    query, key, value, out, log_sum, mask, scale, dropout_p, seed, heads, key_heads = saved
    grad = grad.reshape(len(query), *grad.shape[-2:])  # (N, T, E)
    along = (grad * out).sum(-1, keepdim=True)  # (N, T, 1), g . out
    drops = torch.Generator(query.device).manual_seed(seed)
    scratch = Scratch(query, key)
    grad_query, grad_key, grad_value = (torch.zeros_like(x) for x in (query, key, value))
    grad_mask = mask.zeros() if want_mask else None

    for n, t, key_blocks in blocks(query, key, mask):
        q, g = query[n, t], grad[n, t]  # (n, t, D), (n, t, E)
        for s in key_blocks:
            k, v = key[n, s], value[n, s]  # (n, s, D), (n, s, E)
            a = scratch(0, q, k)
            torch.baddbmm(log_sum[n, t].expand_as(a), q, k.mT, beta=-1, alpha=scale * LOG2_E, out=a)
            p = mask.hide(a, n, t, s).exp2_()  # (n, t, s)
            grad_p = scratch(1, q, k)
            if dropout_p > 0:
                w, kept = dropout(p, dropout_p, drops)
                torch.sub(dropout_backward(g @ v.mT, kept, dropout_p), along[n, t], out=grad_p)
            else:
                w = p
                torch.baddbmm(along[n, t].expand_as(p), g, v.mT, beta=-1, out=grad_p)
            # Products first, sums after: into a part of a tensor, heads would be multiplied one by one.
            grad_value[n, s].add_(w.mT @ g)
            grad_a = grad_p.mul_(p)
            grad_query[n, t].add_(grad_a @ k, alpha=scale)
            grad_key[n, s].add_(grad_a.mT @ q, alpha=scale)
            if grad_mask is not None:
                mask.add_grad(grad_mask, grad_a, n, t, s)
    return AttentionGradients(
        grad_query.view(*heads, *query.shape[1:]),
        gather_heads(grad_key, heads, key_heads),
        gather_heads(grad_value, heads, key_heads),
        None if grad_mask is None else grad_mask.view(mask.shape),
    )


# ---- blocks, their masks and their memory ----------------------------------------------------------------


def matrices(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Lays all heads in one dimension, ``(N, T, D)``, and repeats those of key and value where fewer."""
    if key.shape[:-2] != query.shape[:-2]:
        groups = query.shape[-3] // key.shape[-3]
        key, value = (x.repeat_interleave(groups, dim=-3) for x in (key, value))
    n = math.prod(query.shape[:-2])
    query, key, value = (x.reshape(n, *x.shape[-2:]) for x in (query, key, value))
    return query, key, value


def gather_heads(grad: Tensor, heads: tuple[int, ...], key_heads: tuple[int, ...]) -> Tensor:
    """Sums the gradients of a head that served several queries' heads: the mirror of :func:`matrices`."""
    if heads == key_heads:
        return grad.view(*heads, *grad.shape[1:])
    return grad.view(*key_heads, heads[-1] // key_heads[-1], *grad.shape[1:]).sum(-3)


def blocks(query: Tensor, key: Tensor, mask: Mask) -> Iterator[tuple[slice, slice, list[slice]]]:
    """Yields which heads and which queries are at work, and the blocks of the keys that they may see."""
    many, queries, keys = query.shape[0], query.shape[1], key.shape[1]
    t_size, s_size = max(1, min(QUERIES, queries)), max(1, min(KEYS, keys))
    n_size = max(1, SCORES // (t_size * s_size))
    for n in spans(many, n_size):
        for t in spans(queries, t_size):
            yield n, t, list(spans(mask.visible(t, keys), s_size))


def spans(length: int, size: int) -> Iterator[slice]:
    """Cuts 0 ... length into pieces of at most ``size``."""
    for begin in range(0, length, size):
        yield slice(begin, min(begin + size, length))


class Mask:
    """What is hidden, block by block.

    Args:
        mask: boolean (True: may look) or additive, broadcasting to ``full``; None for none.
        full: ``(..., H, T, S)``.
        is_causal: whether query t sees keys up to past + t only.
        past: how many keys come before the first query.
    """

    def __init__(self, mask: Tensor | None, full: tuple[int, ...], is_causal: bool, past: int) -> None:
        self.is_causal, self.past = is_causal, past
        self.mask: Tensor | None = None  # (M, T or 1, S or 1)
        if mask is not None:
            self.shape = mask.shape
            mask = mask.view(*(1,) * (len(full) - mask.dim()), *mask.shape)
            self.mask = mask.reshape(math.prod(mask.shape[:-2]), *mask.shape[-2:])
            place = torch.arange(len(self.mask), device=mask.device).view(mask.shape[:-2])
            self.place = place.expand(full[:-2]).flatten()  # (N,), which of the M masks each head has

    def visible(self, t: slice, keys: int) -> int:
        """Says how many keys, from the first on, the last of some queries may see."""
        return min(keys, self.past + t.stop) if self.is_causal else keys

    def hide(self, scores: Tensor, n: slice, t: slice, s: slice) -> Tensor:
        """Returns the scores of a block ``(n, t, s)`` with the mask's part added, in units of log 2."""
        if self.mask is not None:
            scores = add_mask(scores, self._part(self.mask, t, s)[self.place[n]], LOG2_E)
        ahead = max(s.start, self.past + t.start + 1)  # the first key that some of the queries may not see
        if self.is_causal and ahead < s.stop:
            past = self.past + t.start - ahead  # at least -1, counted from that key on
            hidden = causally_hidden(t.stop - t.start, s.stop - ahead, past, scores.device)
            seen, partly = scores.split([ahead - s.start, s.stop - ahead], dim=2)
            if torch.is_grad_enabled():
                return torch.cat([seen, partly.masked_fill(hidden, -torch.inf)], dim=2)
            partly.masked_fill_(hidden, -torch.inf)
        return scores

    def zeros(self) -> Tensor | None:
        """Returns where :meth:`add_grad` adds up."""
        return None if self.mask is None else torch.zeros_like(self.mask)

    def add_grad(self, total: Tensor, grad: Tensor, n: slice, t: slice, s: slice) -> None:
        """Adds the gradient of a block's scores, ``(n, t, s)``, to that of the mask."""
        part = self._part(total, t, s)
        dims = [dim for dim in (1, 2) if part.shape[dim] < grad.shape[dim]]
        part.index_add_(0, self.place[n], grad.sum(dims, keepdim=True) if dims else grad)

    @staticmethod
    def _part(mask: Tensor, t: slice, s: slice) -> Tensor:
        every = slice(None)
        return mask[:, t if mask.shape[1] > 1 else every, s if mask.shape[2] > 1 else every]


class Scratch:
    """Memory for blocks of scores, taken once: new memory for each would take as long as the arithmetic."""

    def __init__(self, query: Tensor, key: Tensor) -> None:
        self.like = query
        self.memory: dict[int, Tensor] = {}

    def __call__(self, which: int, q: Tensor, k: Tensor) -> Tensor:
        """Returns a tensor for the scores of queries ``(n, t, D)`` and keys ``(n, s, D)``."""
        size = (q.shape[0], q.shape[1], k.shape[1])
        if which not in self.memory or self.memory[which].numel() < math.prod(size):
            self.memory[which] = self.like.new_empty(math.prod(size))
        return self.memory[which][: math.prod(size)].view(size)


def put_together(pieces: list[Tensor], out: Tensor) -> Tensor:
    """Lays the outputs of blocks ``(n, t, E)``, in the order of :func:`blocks`, into one ``(N, T, E)``."""
    rows: list[Tensor] = []
    row: list[Tensor] = []
    for piece in pieces:
        row.append(piece)
        if sum(part.shape[1] for part in row) == out.shape[1]:
            rows.append(torch.cat(row, 1))
            row = []
    return torch.cat(rows) if rows else out
