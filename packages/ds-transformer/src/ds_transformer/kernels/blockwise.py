"""Attention block by block: the full matrix of scores is never in memory.

Some heads and some queries are taken at a time, and their keys in blocks, too. The softmax of a row is found
*online*: of the blocks so far its largest score m and the sum z of exp(score - m) are kept, and the output
that belongs to them; where a block brings a larger score, what there is shrinks by exp(m - m'). Of every row,
the backward keeps only m and z, and computes each block of exp(score - m) once more. Not the logarithm of the
sum alone, m + log z: where a mask has added -1e9 to a whole row, z would be lost in it.

Scores that exp can take as they are, which most are, need no m: it is 0 as long as there are no others.

Scores are multiplied by log2(e), so that 2^x stands for exp(x): it takes a third of the time. Where a mask
adds numbers to them, they are so only once m is subtracted. For numbers of a mask are added as they were
given: -1e9, or the lowest there is, then swallows the scores of a row as in the formula.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from ds_core.kernels import branch, matmul, switch
from ds_core.kernels.elementary import LOG2_E
from ds_core.kernels.scratch import Scratch
from torch import Tensor

from ds_transformer.kernels.noise import Noise

# Several heads in a block keep all cores busy with a product each; rows of 768 numbers, unlike rows of 1,024,
# do not fall on the same lines of a processor's cache.
KEYS = 768  # in a block, at most
THREADS = 4  # that get more memory; more than those share it

# Where later keys are hidden, an eighth as many queries as keys are taken together, but not fewer than these:
# the fewer there are, the less is computed and hidden.
CAUSAL_QUERIES = 128

SMALL = 30.0  # 2^30 and 2^-30, many of them added up, and a gradient divided by that, are far from the ends


def room() -> int:
    """Returns how many scores a block has, about, of each thread: what the machine's table says."""
    return int(matmul.rates().block)


class SavedBlocks(NamedTuple):
    """What the backward needs from the forward; N counts batch times heads."""

    query: Tensor  # (N, T, D)
    key: Tensor  # (N, S, D)
    value: Tensor  # (N, S, E)
    out: Tensor  # (..., H, T, E), the heads of a token side by side in memory
    sums: Tensor  # (N, T, 1), all z; 1 where all keys are hidden
    largest: Tensor | None  # (N, T, 1), all m; None where all are 0
    noise: Noise | None
    mask: Mask
    scale: float
    heads: tuple[int, ...]  # (..., H), the leading dimensions of the query
    key_heads: tuple[int, ...]  # (..., H_kv), those of key and value
    copied: bool  # whether key and value are nobody else's


def in_blocks(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None,
    scale: float,
    is_causal: bool,
    past: int,
    noise: Noise | None,
) -> tuple[Tensor, SavedBlocks]:
    """Computes what ``functional.attention`` does, whose arguments it takes, in little memory.

    For each block of keys, with m, z, y from -inf, 0, 0 on:   m' = max(m, max A),   P = exp(A - m'),
    z' = z exp(m - m') + sum P,   y' = y exp(m - m') + dropout(P) V;   at the end   out = y / z

    Returns:
        The output ``(..., H, T, E)`` and what the backward needs.

    Source: Milakov, Gimelshein, Online normalizer calculation for softmax (2018), algorithm 3; Rabe, Staats,
    Self-attention Does Not Need O(n^2) Memory (2021); Dao et al., FlashAttention (2022), algorithm 1.
    """
    heads, key_heads = query.shape[:-2], key.shape[:-2]
    mask = Mask(attn_mask, (*query.shape[:-1], key.shape[-2]), is_causal, past)
    given = key, value
    query, key, value = matrices(query, key, value)  # (N, T, D), (N, S, D), (N, S, E)
    copied = all(map(_copied, given, (key, value)))
    if noise is not None:
        noise = noise._replace(rows=noise.rows.reshape(*query.shape[:2], 1))
    zero = query.new_zeros(())  # beta 0: it is not even read
    lowest = torch.finfo(query.dtype).min  # not -inf: -inf less that would not be a number
    as_they_are = not mask.adds and switch.products is None  # float16 takes no 2^30
    whole = in_one_block(query, key, mask)
    surely = as_they_are and not whole and _surely_small(query, key, scale * mask.unit)
    outs = query.new_empty(*query.shape[:2], value.shape[2])  # of all y
    sums = query.new_zeros(*query.shape[:2], 1)  # of all z
    largest: Tensor | None = None  # of all m
    memory = Scratch()

    for n, t, key_blocks in blocks(query, key, mask):
        q = _of_heads(query, n, t)  # (n, t, D)
        y = z = zero
        m: Tensor | None = None  # (n, t, 1), None for 0
        for i, s in enumerate(key_blocks):
            k, v = _of_heads(key, n, s), _of_heads(value, n, s)  # (n, s, D), (n, s, E)
            a = _product(memory, "scores", q, k, scale * mask.unit)
            if m is None and not surely and not (as_they_are and _small(a)):
                m = a.new_full((*a.shape[:2], 1), lowest).where(z == 0, 0.0)
            if m is None:
                p = mask.zero_(a.exp2_(), n, t, s)  # (n, t, s)
            else:
                larger = torch.maximum(m, mask.hide_(a, n, t, s).amax(-1, keepdim=True))
                p, shrink, m = mask.exp_(a.sub_(larger)), mask.exp_(m - larger), larger
                y, z = y * shrink, z * shrink
            z = z + p.sum(-1, keepdim=True)
            if noise is not None:
                noise.of(n, t, s).drop(p, out=p)
            if i > 0:
                y = matmul.baddbmm(y, p, v, out=y)
            else:
                y = matmul.bmm(p, v, out=outs[n] if whole else None)
        if not whole:
            outs[n, t] = y
        sums[n, t] = z
        if m is not None:
            largest = torch.zeros_like(sums) if largest is None else largest
            largest[n, t] = m
    sums.masked_fill_(sums == 0, 1.0)  # where all is hidden
    branch(f"AttentionKernel: {'small scores' if largest is None else 'any scores'}")
    out = side_by_side(outs.view(*heads, *outs.shape[1:]), sums.view(*heads, *sums.shape[1:]))
    return out, SavedBlocks(
        *(query, key, value, out, sums, largest, noise, mask, scale, heads, key_heads, copied)
    )


def in_blocks_backward(
    grad: Tensor, saved: SavedBlocks, want_mask: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Returns the gradients of query, key, value and, if wanted, of an additive mask.

    With P = exp(A - m) / z, computed again, and W = dropout(P), for each block:
    dV += W^T g,   dA = P * (dropout(g V^T) - g . out),   dQ += scale dA K,   dK += scale dA^T Q

    The sum over all keys in the backward of softmax, sum_s P dP, is g . out: no block needs another. P and g
    only occur together, so that exp(A - m) and g / z stand for P and g. P and dA lie in memory key by key, as
    they are transposed in two of the three products, and a transposed first factor costs a copy.

    Args:
        grad: g = dL/d(out), ``(..., H, T, E)``.
        saved: from the forward.
        want_mask: whether the gradient of an additive mask is wanted.

    Source: Dao et al., FlashAttention (2022), algorithm 4.
    """
    query, key, value, out, sums, largest, noise, mask, scale, heads, key_heads, copied = saved
    zero = grad.new_zeros(())
    g = grad.new_empty(len(query), *grad.shape[-2:])  # (N, T, E)
    by_head = g.view(grad.shape)
    torch.div(grad, sums.view(*grad.shape[:-1], 1), out=by_head)
    along = (by_head * out).sum(-1).view(*query.shape[:2], 1)  # (N, T, 1), g . out
    whole, by_key = in_one_block(query, key, mask), not mask.by_row
    if whole:  # of each head every number is read for the last time before a gradient is written there
        grad_key, grad_value = (key, value) if copied else (torch.empty_like(key), torch.empty_like(value))
        grad_query = g if g.shape == query.shape else torch.empty_like(query)
    else:
        grad_query, grad_key, grad_value = map(torch.zeros_like, (query, key, value))
    grad_mask = mask.zeros() if want_mask else None
    memory = Scratch()

    for n, t, key_blocks in blocks(query, key, mask):
        q, g_ = _of_heads(query, n, t), _of_heads(g, n, t)  # (n, t, D), (n, t, E)
        for s in key_blocks:
            k, v = _of_heads(key, n, s), _of_heads(value, n, s)  # (n, s, D), (n, s, E)
            a = _product(memory, "scores", q, k, scale * mask.unit, by_key)
            if largest is None:
                p = mask.zero_(a.exp2_(), n, t, s)  # (n, t, s)
            else:
                p = mask.exp_(mask.hide_(a, n, t, s).sub_(largest[n, t]))
            grad_p = _product(memory, "gradient", g_, v, by_key=by_key)
            if noise is None:
                w = p
            else:
                drops = noise.of(n, t, s)
                w = drops.drop(p, out=_block(memory, "dropped", q, k, by_key))
                drops.drop(grad_p, out=grad_p)
            if whole:
                matmul.bmm(w.mT, g_, out=grad_value[n])
                grad_a = grad_p.sub_(along[n, t]).mul_(p)
                matmul.baddbmm(zero, grad_a, k, beta=0, alpha=scale, out=grad_query[n])
                matmul.baddbmm(zero, grad_a.mT, q, beta=0, alpha=scale, out=grad_key[n])
            else:
                _add_product(grad_value[n, s], w.mT, g_)
                grad_a = grad_p.sub_(along[n, t]).mul_(p)
                _add_product(grad_query[n, t], grad_a, k, scale)
                _add_product(grad_key[n, s], grad_a.mT, q, scale)
            if grad_mask is not None:
                mask.add_grad(grad_mask, grad_a, n, t, s)
    return (
        grad_query.view(*heads, *query.shape[1:]),
        gather_heads(grad_key, heads, key_heads),
        gather_heads(grad_value, heads, key_heads),
        None if grad_mask is None else grad_mask.view(mask.shape),
    )


def _of_heads(x: Tensor, n: slice, some: slice) -> Tensor:
    """Returns some queries or keys of some heads, laid out as a batch of matrices.

    Of a part of a larger tensor, whose matrices lie apart, torch would lay out the transposed ones itself, in
    seven times the time.
    """
    return x[n, some].contiguous()


def _add_product(total: Tensor, a: Tensor, b: Tensor, scale: float = 1.0) -> None:
    """Adds scale a b to a part of a tensor.

    Of several heads after the product: into a part of a tensor, they would be multiplied one by one.
    """
    if len(a) == 1:
        matmul.baddbmm(total, a, b, alpha=scale, out=total)
    else:
        total.add_(matmul.bmm(a, b), alpha=scale)


# ---- blocks, their masks and their memory ----------------------------------------------------------------


def matrices(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Lays all heads in one dimension, ``(N, T, D)``, and repeats those of key and value where fewer."""
    if key.shape[:-2] != query.shape[:-2]:
        groups = query.shape[-3] // key.shape[-3]
        key, value = (x.repeat_interleave(groups, dim=-3) for x in (key, value))
    n = math.prod(query.shape[:-2])
    query, key, value = (x.reshape(n, *x.shape[-2:]) for x in (query, key, value))
    return query, key, value


def side_by_side(y: Tensor, z: Tensor) -> Tensor:
    """Returns y / z, ``(..., H, T, E)`` and ``(..., H, T, 1)``, with the heads of a token side by side.

    So are they when they are joined: then the output and what the backward keeps of it are the same memory.
    """
    if y.dim() == 2:
        return y / z
    y, z = y.transpose(-2, -3), z.transpose(-2, -3)
    return torch.div(y, z, out=y.new_empty(y.shape)).transpose(-2, -3)


def _surely_small(query: Tensor, key: Tensor, scale: float) -> bool:
    """Says whether all scores are small because their factors are short: ``|q k| <= |q| |k|``."""
    if not (query.numel() and key.numel()):
        return False
    longest = [torch.mul(x, x).sum(-1).amax().item() for x in (query, key)]
    return abs(scale) * math.sqrt(longest[0] * longest[1]) <= SMALL  # not if one is not a number


def _small(scores: Tensor) -> bool:
    """Says whether 2^x can take all scores as they are; not if any is not a number."""
    low, high = scores.aminmax()
    return low.item() >= -SMALL and high.item() <= SMALL


def gather_heads(grad: Tensor, heads: tuple[int, ...], key_heads: tuple[int, ...]) -> Tensor:
    """Sums the gradients of a head that served several queries' heads: the mirror of :func:`matrices`."""
    if heads == key_heads:
        return grad.view(*heads, *grad.shape[1:])
    return grad.view(*key_heads, heads[-1] // key_heads[-1], *grad.shape[1:]).sum(-3)


def _copied(given: Tensor, laid: Tensor) -> bool:
    """Says whether laying a tensor out copied it; of a subclass of Tensor, which has no memory, no."""
    return type(laid) is Tensor and laid.data_ptr() != given.data_ptr()


def in_one_block(query: Tensor, key: Tensor, mask: Mask) -> bool:
    """Says whether all queries of a head and all its keys are in one block."""
    _, t, key_blocks = next(blocks(query, key, mask), (None, None, None))
    return t == slice(0, query.shape[1]) and key_blocks == [slice(0, key.shape[1])]


def blocks(query: Tensor, key: Tensor, mask: Mask) -> Iterator[tuple[slice, slice, list[slice]]]:
    """Yields which heads and which queries are at work, and the blocks of the keys that they may see."""
    many, queries, keys = query.shape[0], query.shape[1], key.shape[1]
    s_size, scores = max(1, min(KEYS, keys)), room()
    most = max(CAUSAL_QUERIES, keys // 8) if mask.is_causal else scores // s_size
    t_size = max(1, min(most, queries))
    threads = min(torch.get_num_threads(), THREADS)
    heads = max(1, scores // (t_size * s_size))
    n_size = max(heads, min(threads * heads, -(-many // 2)))  # more for more threads, but two blocks
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
        mask: boolean (True: hidden) or additive, broadcasting to ``full``; None for none.
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

    @property
    def adds(self) -> bool:
        """Says whether scores are added to, not only hidden."""
        return self.mask is not None and self.mask.dtype != torch.bool

    def visible(self, t: slice, keys: int) -> int:
        """Says how many keys, from the first on, the last of some queries may see."""
        return min(keys, self.past + t.stop) if self.is_causal else keys

    @property
    def by_row(self) -> bool:
        """Says whether every query has a row of its own: blocks had better lie in memory as those do."""
        return self.mask is not None and min(self.mask.shape[1:]) > 1

    @property
    def unit(self) -> float:
        """Says what scores are multiplied by: 1 where they are added to, else by log2(e)."""
        return 1.0 if self.adds else LOG2_E

    def exp_(self, scores: Tensor) -> Tensor:
        """Makes scores, so multiplied, their exponentials."""
        return scores.mul_(LOG2_E).exp2_() if self.adds else scores.exp2_()

    def hide_(self, scores: Tensor, n: slice, t: slice, s: slice) -> Tensor:
        """Adds the mask's part to the scores of a block ``(n, t, s)``."""
        if self.mask is not None:
            part = self._of(n, t, s)
            if self.adds:
                scores.add_(part)
            else:
                scores.masked_fill_(part, -torch.inf)
        if (found := self._later(t, s, scores)) is not None:
            part, later = found
            part.masked_fill_(later, -torch.inf)
        return scores

    def zero_(self, weights: Tensor, n: slice, t: slice, s: slice) -> Tensor:
        """Makes the weights of a block ``(n, t, s)`` 0 where the mask hides; it adds nothing."""
        if self.mask is not None:
            weights.mul_((~self._of(n, t, s)).to(weights.dtype))
        if (found := self._later(t, s, weights)) is not None:
            part, later = found
            part.mul_((~later).to(weights.dtype))
        return weights

    def _later(self, t: slice, s: slice, like: Tensor) -> tuple[Tensor, Tensor] | None:
        """Returns the part of a block with keys of which some are hidden, and which are, ``(t, s)``; or None.

        Those come after the first of the queries. The answer lies in memory as the block does.
        """
        first = max(s.start, self.past + t.start + 1)
        if not self.is_causal or first >= s.stop:
            return None
        queries = torch.arange(self.past + t.start, self.past + t.stop, device=like.device)
        keys = torch.arange(first, s.stop, device=like.device)
        by_key = like.stride(-1) > 1  # one key is no difference
        later = (keys[:, None] > queries).mT if by_key else keys > queries[:, None]
        return like[..., first - s.start :], later

    def _of(self, n: slice, t: slice, s: slice) -> Tensor:
        """Returns the mask of a block, which broadcasts to ``(n, t, s)``."""
        assert self.mask is not None
        part = self._part(self.mask, t, s)
        return part if len(part) == 1 else part[self.place[n]]

    def zeros(self) -> Tensor | None:
        """Returns where :meth:`add_grad` adds up."""
        if self.mask is None or self.mask.dtype == torch.bool:
            return None
        return torch.zeros_like(self.mask)

    def add_grad(self, total: Tensor, grad: Tensor, n: slice, t: slice, s: slice) -> None:
        """Adds the gradient of a block's scores, ``(n, t, s)``, to that of the mask."""
        part = self._part(total, t, s)
        dims = [dim for dim in (1, 2) if part.shape[dim] < grad.shape[dim]]
        part.index_add_(0, self.place[n], grad.sum(dims, keepdim=True) if dims else grad)

    @staticmethod
    def _part(mask: Tensor, t: slice, s: slice) -> Tensor:
        every = slice(None)
        return mask[:, t if mask.shape[1] > 1 else every, s if mask.shape[2] > 1 else every]


def _product(
    memory: Scratch, which: str, q: Tensor, k: Tensor, alpha: float = 1.0, by_key: bool = False
) -> Tensor:
    """Returns alpha q k^T, ``(n, t, s)``, of ``(n, t, D)`` and ``(n, s, D)``, in the memory of a block."""
    block = _block(memory, which, q, k, by_key)
    rows, columns, out = (k, q, block.mT) if by_key else (q, k, block)
    matmul.baddbmm(out, rows, columns.mT, beta=0, alpha=alpha, out=out)  # beta 0: what was there is not read
    return block


def _block(memory: Scratch, which: str, q: Tensor, k: Tensor, by_key: bool) -> Tensor:
    """Returns memory for numbers of queries ``(n, t, D)`` and keys ``(n, s, D)``, the same for all blocks."""
    n, t, s = q.shape[0], q.shape[1], k.shape[1]
    return memory(which, (n, s, t), q).mT if by_key else memory(which, (n, t, s), q)
