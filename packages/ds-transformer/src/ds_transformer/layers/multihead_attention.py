"""MultiheadAttention: every position looks at others, in several heads side by side."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from ds_core import Dense, InputGrad, Module, Parameter
from ds_core.checks import check_dtype, shape
from ds_core.functional.linear import as_rows
from ds_core.initializers import Init, initialize, xavier_normal_, xavier_uniform_, zeros_
from ds_core.random_state import generator_now
from torch import Tensor

from ds_transformer.cache import KeyValueCache
from ds_transformer.functional.attention import (
    SavedAttention,
    additive,
    causally_hidden,
    scaled_dot_product_attention,
    scaled_dot_product_attention_backward,
    sum_to,
)
from ds_transformer.functional.blockwise import (
    SavedBlockwise,
    blockwise_attention,
    blockwise_attention_backward,
)

# From so many queries times keys on, they are taken in blocks: below that, the plain form is as fast.
BLOCKWISE_FROM = 256 * 256


class Projection(NamedTuple):
    """One matrix product: which input goes through which of the three projections at once."""

    source: int  # 0, 1, 2: query, key, value
    parts: tuple[int, ...]  # 0, 1, 2: Q, K, V


class Inputs(NamedTuple):
    """Of query, key and value those given, as rows, and what becomes of them."""

    rows: list[Tensor]  # (B T, width) each
    shapes: list[torch.Size]  # as given
    batch: int  # 1 where there is none
    projections: list[Projection]


class MultiheadAttention(Module):
    """Lets every position of a sequence take from others what matches it, in several heads side by side.

    Q = q W_Q^T,   K = k W_K^T,   V = v W_V^T,   each cut into H heads;
    y = concat_heads(softmax(Q K^T / sqrt(D) + mask) V) W_O^T   (and biases)

    Called with a query alone it is self-attention, with query and key cross-attention (the values are the
    keys); ``backward`` returns the gradient of what was given: of one tensor, or a tuple of two or three.

    Args:
        embed_dim: C, the width of query and output.
        num_heads: H; each head works on D = C / H of the numbers.
        dropout: the share of attention weights set to zero in training.
        bias: whether all projections add a bias.
        add_bias_kv: whether one learned key and value stand at the end of every sequence.
        add_zero_attn: whether a key and a value of zeros do.
        kdim: width of the key; None for C.
        vdim: width of the value; None for C.
        batch_first: whether sequences are ``(B, T, C)`` and not ``(T, B, C)``.
        num_kv_heads: how many heads key and value have (grouped-query attention); None for H. It must divide
            H.
        rotary: turns queries and keys by their positions, see :class:`RotaryPositions`; in self-attention.
        score_bias: adds to the scores by position, see :class:`ALiBi` and :class:`RelativePositionBias`.
        blockwise: whether the scores are computed block by block and never held all at once; None to choose
            by their number. Where the weights are wanted, they are held.
        init: how the projections' weights start; None for torch.nn's default.
        generator: source of the initial values and of dropout; None for torch's global one, from which
            dropout also draws in a step that is compiled.

    Shape:
        query ``(B, T, C)`` or ``(T, C)``, or ``(T, B, C)`` unless ``batch_first``; key ``(B, S, kdim)`` and
        value ``(B, S, vdim)`` alike -> output like the query, and weights ``(B, T, S)``, or ``(B, H, T, S)``
        if not averaged, or None.
        in_proj_weight ``(3C, C)``; or, where widths differ, q_proj_weight ``(C, C)``, k_proj_weight
        ``(C, kdim)``, v_proj_weight ``(C, vdim)``; in_proj_bias ``(3C,)``; out_proj.weight ``(C, C)``. With
        fewer heads of key and value, those parts have C H_kv / H rows.

    Raises:
        ValueError: if C is not a multiple of H, or a shape does not fit.
        TypeError: if x has another dtype than the weights, or a mask is neither boolean nor of that dtype.

    Source: Vaswani et al., Attention Is All You Need (2017), section 3.2.2.
    """

    in_proj_weight: Tensor | None
    q_proj_weight: Tensor | None
    k_proj_weight: Tensor | None
    v_proj_weight: Tensor | None
    in_proj_bias: Tensor | None
    bias_k: Tensor | None
    bias_v: Tensor | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        *,
        num_kv_heads: int | None = None,
        rotary: Module | None = None,
        score_bias: Module | None = None,
        blockwise: bool | None = None,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        if num_heads < 1 or embed_dim < 1 or embed_dim % num_heads:
            raise ValueError(
                f"MultiheadAttention: expected a width that num_heads divides, "
                f"got embed_dim={embed_dim}, num_heads={num_heads}"
            )
        kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        if kv_heads < 1 or num_heads % kv_heads:
            raise ValueError(
                f"MultiheadAttention: expected num_kv_heads that divides num_heads, "
                f"got num_heads={num_heads}, num_kv_heads={num_kv_heads}"
            )
        if not 0 <= dropout <= 1:
            raise ValueError(f"MultiheadAttention: expected dropout from 0 to 1, got {dropout}")
        self.embed_dim, self.num_heads, self.num_kv_heads = embed_dim, num_heads, kv_heads
        self.head_dim = embed_dim // num_heads
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn
        self.blockwise, self.generator = blockwise, generator
        kv_dim = kv_heads * self.head_dim
        self.sizes = (embed_dim, kv_dim, kv_dim)  # rows of the three projections

        def weight(rows: int, columns: int) -> Tensor:
            made = torch.empty(rows, columns)
            return Parameter(
                xavier_uniform_(made, generator=generator)
                if init is None
                else initialize(made, init, generator)
            )

        same = self.kdim == self.vdim == embed_dim
        self.register_parameter("in_proj_weight", weight(sum(self.sizes), embed_dim) if same else None)
        for name, rows, columns in zip("qkv", self.sizes, (embed_dim, self.kdim, self.vdim), strict=True):
            self.register_parameter(f"{name}_proj_weight", None if same else weight(rows, columns))
        self.register_parameter("in_proj_bias", Parameter(torch.zeros(sum(self.sizes))) if bias else None)
        self.out_proj = Dense(embed_dim, embed_dim, bias, init=init, generator=generator)
        if self.out_proj.bias is not None:
            zeros_(self.out_proj.bias)
        for name in ("bias_k", "bias_v"):
            extra = xavier_normal_(torch.empty(1, 1, kv_dim), generator=generator) if add_bias_kv else None
            self.register_parameter(name, None if extra is None else Parameter(extra))
        self.rotary, self.score_bias = rotary, score_bias

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
        *,
        cache: KeyValueCache | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Attends.

        Args:
            query: what looks.
            key: what is looked at; None for the query.
            value: what is taken from there; None for the key.
            key_padding_mask: ``(B, S)``, True (or -inf) at keys that nobody sees.
            need_weights: whether the attention weights are returned, too.
            attn_mask: ``(T, S)``, or ``(B H, T, S)`` for each sequence and head; True at keys that a query
                does not see, or numbers added to the scores.
            average_attn_weights: whether the returned weights are the mean over heads.
            is_causal: whether no query sees a later key, besides what masks hide.
            cache: keys and values of earlier positions, to which these are added; in cross-attention it is
                filled by the first call, and later ones read neither key nor value.
        """
        x = self._inputs(query, key, value)
        q, k, v, past = self._heads(x, cache)  # (B, H, T, D), (B, H_kv, S, D) twice
        keys = k.shape[2]
        mask = self._mask(key_padding_mask, attn_mask, is_causal, q, k, past)
        k, v = self._with_extra_keys(k, v)
        arguments = (q, k, v, mask, self.dropout if self.training else 0.0, is_causal and k.shape[2] == keys)
        options: dict[str, Any] = {
            "enable_gqa": True,
            "past": past,
            "generator": generator_now(self.generator),
        }
        attention: SavedAttention | SavedBlockwise
        weights = None
        if need_weights or not self._in_blocks(q, k):
            out, attention = plain = scaled_dot_product_attention(*arguments, **options)  # (B, H, T, D)
            if need_weights:
                weights = self._shown(plain[1].weights.view(*q.shape[:3], -1), query, average_attn_weights)
        else:
            out, attention = blockwise_attention(*arguments, **options)
        self.save(x, attention, keys, average_attn_weights)
        return self.out_proj(self._join([out]).view(query.shape)), weights

    def backward(self, grad: Tensor, grad_weights: Tensor | None = None) -> InputGrad:
        grad = self.out_proj.backward(grad)  # like the query
        x, attention, keys, averaged = self.saved()
        if grad_weights is not None:
            grad_weights = self._shown_backward(grad_weights, averaged)
        grad_out = self._split(as_rows(grad), x.shapes[0], x.batch)  # (B, H, T, D)
        want_mask = self.score_bias is not None and bool(list(self.score_bias.parameters()))
        if isinstance(attention, SavedAttention):
            grads = scaled_dot_product_attention_backward(
                grad_out, attention, grad_weights=grad_weights, want_mask=want_mask
            )
        else:
            grads = blockwise_attention_backward(grad_out, attention, want_mask=want_mask)
        grad_k, grad_v = self._without_extra_keys(grads.key, grads.value, keys)
        if self.score_bias is not None:
            grad_bias = None if grads.mask is None else grads.mask[..., :keys]
            self.score_bias.backward(None if grad_bias is None else sum_to(grad_bias, grad_bias.shape[-3:]))
        return self._heads_backward(x, grads.query, grad_k, grad_v)

    # ---- from inputs to heads, and back --------------------------------------------------------------

    def _heads(self, x: Inputs, cache: KeyValueCache | None) -> tuple[Tensor, Tensor, Tensor, int]:
        """Returns Q ``(B, H, T, D)``, K and V ``(B, H_kv, S, D)``, and how many keys came before Q."""
        itself = len(x.rows) == 1
        past = cache.length if cache is not None and itself else 0
        if cache is not None and self.recording:
            raise RuntimeError(f"{self.label()}: a cache is for generating: call eval() first")
        if cache is not None and cache.length and not itself:  # it holds all of the memory
            q, *_ = self._project(x, x.projections[:1])
            return q, *cache.held(), past
        q, k, v = self._project(x, x.projections)
        if self.rotary is not None and itself:
            q, k = self.rotary(q, past), self.rotary(k, past)
        if cache is not None:
            k, v = cache.extend(k, v)
        return q, k, v, past

    def _heads_backward(self, x: Inputs, grad_q: Tensor, grad_k: Tensor, grad_v: Tensor) -> InputGrad:
        """Adds to the projections' gradients, returns those of the inputs: the mirror of :meth:`_heads`."""
        if self.rotary is not None and len(x.rows) == 1:
            grad_k = self.rotary.backward(grad_k)
            grad_q = self.rotary.backward(grad_q)
        grads = (grad_q, grad_k, grad_v)
        grad_rows = [self._join([grads[part] for part in parts]) for _, parts in x.projections]
        self._add_projection_grads(x, grad_rows)
        if not self.input_grad:
            return None if len(x.rows) == 1 else (None,) * len(x.rows)
        grad_inputs: list[Any] = [None] * len(x.rows)
        for (source, parts), g in zip(x.projections, grad_rows, strict=True):
            through = g @ self._weight(parts)  # (B T, width)
            known = grad_inputs[source]
            grad_inputs[source] = through if known is None else known.add_(through)
        given = tuple(g.view(size) for g, size in zip(grad_inputs, x.shapes, strict=True))
        return given if len(given) > 1 else given[0]

    def _inputs(self, query: Tensor, key: Tensor | None, value: Tensor | None) -> Inputs:
        """Checks what is given, and says which matrix products it needs: as few as the weights allow."""
        self._check_inputs(query, key, value)
        given = [x for x in (query, key, value) if x is not None]
        if self.in_proj_weight is None or len(given) == 3:
            projections = [Projection(min(part, len(given) - 1), (part,)) for part in range(3)]
        elif len(given) == 2:
            projections = [Projection(0, (0,)), Projection(1, (1, 2))]
        else:
            projections = [Projection(0, (0, 1, 2))]
        return Inputs([as_rows(x) for x in given], [x.shape for x in given], self._batch(query), projections)

    def _rows_of(self, parts: tuple[int, ...]) -> slice:
        """Returns which rows of the joined weight and bias belong to neighbouring projections."""
        return slice(sum(self.sizes[: parts[0]]), sum(self.sizes[: parts[-1] + 1]))

    def _weight(self, parts: tuple[int, ...]) -> Tensor:
        """Returns the weight of neighbouring projections, ``(rows, width of the input)``."""
        if self.in_proj_weight is not None:
            return self.in_proj_weight[self._rows_of(parts)]
        return getattr(self, f"{'qkv'[parts[0]]}_proj_weight")

    def _project(self, x: Inputs, projections: list[Projection]) -> list[Tensor]:
        """Projects inputs, and cuts each part into heads ``(B, H, T, D)``."""
        heads = []
        for source, parts in projections:
            rows, weight = x.rows[source], self._weight(parts)
            if self.in_proj_bias is None:
                projected = rows @ weight.T  # (B T, sum of H D)
            else:
                projected = torch.addmm(self.in_proj_bias[self._rows_of(parts)], rows, weight.T)
            for part in projected.split([self.sizes[part] for part in parts], dim=1):
                heads.append(self._split(part, x.shapes[source], x.batch))
        return heads

    def _add_projection_grads(self, x: Inputs, grad_rows: list[Tensor]) -> None:
        """Adds to the gradients of the projections' weights and bias: dL/dW = g^T x, dL/db = sum of g."""
        pairs = [(g, x.rows[source]) for g, (source, _) in zip(grad_rows, x.projections, strict=True)]
        if self.in_proj_weight is not None:
            self.add_grad("in_proj_weight", lambda: cat([g.T @ rows for g, rows in pairs]))
        else:
            for name, (g, rows) in zip("qkv", pairs, strict=True):
                self.add_grad(f"{name}_proj_weight", lambda g=g, rows=rows: g.T @ rows)  # type: ignore[misc]
        self.add_grad("in_proj_bias", lambda: cat([g.sum(0) for g in grad_rows]))

    # ---- from rows to heads, and back ----------------------------------------------------------------

    def _split(self, rows: Tensor, size: torch.Size, batch: int) -> Tensor:
        """Cuts the rows ``(B T, H D)`` of an input of some size into heads ``(B, H, T, D)``."""
        length = size[0] if len(size) == 2 or not self.batch_first else size[1]
        heads = (rows.shape[1] // self.head_dim, self.head_dim)
        if self.batch_first:
            return rows.view(batch, length, *heads).transpose(1, 2)
        return rows.view(length, batch, *heads).permute(1, 2, 0, 3)

    def _join(self, parts: list[Tensor]) -> Tensor:
        """Lays the heads ``(B, H, T, D)`` of one part or more side by side in rows, ``(B T, sum of H D)``."""
        order = (0, 2, 1, 3) if self.batch_first else (2, 0, 1, 3)
        ordered = cat([part.permute(order) for part in parts], dim=2)  # (B, T, H, D) or (T, B, H, D)
        return ordered.reshape(math.prod(ordered.shape[:2]), ordered.shape[2] * self.head_dim)

    # ---- masks and extra keys ------------------------------------------------------------------------

    def _mask(
        self,
        key_padding_mask: Tensor | None,
        attn_mask: Tensor | None,
        is_causal: bool,
        q: Tensor,
        k: Tensor,
        past: int,
    ) -> Tensor | None:
        """Joins all masks to one: boolean with True where a query may look, or additive."""
        batch, queries, keys = q.shape[0], q.shape[2], k.shape[2]
        masks = []
        if attn_mask is not None:
            each = (batch * self.num_heads, queries, keys)
            self._check_mask("attn_mask", attn_mask, q, (queries, keys), each)
            if attn_mask.dim() == 3:
                attn_mask = attn_mask.view(batch, self.num_heads, queries, keys)
            masks.append(attn_mask)
        if key_padding_mask is not None:
            self._check_mask("key_padding_mask", key_padding_mask, q, (batch, keys), (keys,))
            masks.append(key_padding_mask.view(batch, 1, 1, keys))
        extra = (self.bias_k is not None) + self.add_zero_attn
        if is_causal and extra:  # which everybody sees, though they stand at the end
            masks.append(causally_hidden(queries, keys, past, q.device))
        if self.score_bias is not None:
            masks.append(self.score_bias(queries, keys, past).to(q.dtype))
        if not masks:
            return None
        if not all(mask.dtype == torch.bool for mask in masks):
            masks = [additive(m, q.dtype) if m.dtype == torch.bool else m for m in masks]
        mask = masks[0]
        for other in masks[1:]:
            mask = mask | other if mask.dtype == torch.bool else mask + other
        if extra:
            mask = torch.cat([mask, mask.new_zeros(*mask.shape[:-1], extra)], dim=-1)
        return ~mask if mask.dtype == torch.bool else mask

    def _check_mask(self, name: str, mask: Tensor, q: Tensor, *sizes: tuple[int, ...]) -> None:
        if mask.dtype not in (torch.bool, q.dtype):
            raise TypeError(
                f"{self.label()}: expected {name} of torch.bool (True: hidden) or {q.dtype} (added to the "
                f"scores), got {mask.dtype}"
            )
        if mask.shape not in sizes:
            raise ValueError(
                f"{self.label()}: expected {name} {' or '.join(map(str, sizes))}, got {shape(mask)}"
            )

    def _with_extra_keys(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Puts the learned key and value, and those of zeros, at the end of every sequence."""
        size = (k.shape[0], self.num_kv_heads, 1, self.head_dim)
        if self.bias_k is not None and self.bias_v is not None:
            k = torch.cat([k, self.bias_k.view(1, *size[1:]).expand(size)], dim=2)
            v = torch.cat([v, self.bias_v.view(1, *size[1:]).expand(size)], dim=2)
        if self.add_zero_attn:
            k = torch.cat([k, k.new_zeros(size)], dim=2)
            v = torch.cat([v, v.new_zeros(size)], dim=2)
        return k, v

    def _without_extra_keys(self, grad_k: Tensor, grad_v: Tensor, keys: int) -> tuple[Tensor, Tensor]:
        """Adds to the gradients of the learned key and value: the mirror of :meth:`_with_extra_keys`."""
        if self.bias_k is not None:
            self.add_grad("bias_k", lambda: grad_k[:, :, keys].sum(0).view(1, 1, -1))
            self.add_grad("bias_v", lambda: grad_v[:, :, keys].sum(0).view(1, 1, -1))
        return grad_k[:, :, :keys], grad_v[:, :, :keys]

    # ---- the rest ------------------------------------------------------------------------------------

    @staticmethod
    def _shown(weights: Tensor, query: Tensor, average: bool) -> Tensor:
        """Returns weights ``(B, H, T, S)`` as the caller wants them."""
        weights = weights.mean(1) if average else weights
        return weights if query.dim() == 3 else weights.squeeze(0)

    def _shown_backward(self, grad: Tensor, averaged: bool) -> Tensor:
        """Returns the gradient ``(B, H, T, S)`` from that of the weights as they were shown."""
        if averaged:
            grad = (grad / self.num_heads).unsqueeze(-3)
        return grad.expand(*grad.shape[:-3], self.num_heads, *grad.shape[-2:])

    def _in_blocks(self, q: Tensor, k: Tensor) -> bool:
        if self.blockwise is not None:
            return self.blockwise
        return q.shape[2] * k.shape[2] >= BLOCKWISE_FROM

    def _check_inputs(self, query: Tensor, key: Tensor | None, value: Tensor | None) -> None:
        """Holds the inputs together."""
        key = query if key is None else key
        value = key if value is None else value
        form = "(B, T, {0})" if self.batch_first else "(T, B, {0})"
        for name, x, width in (
            ("query", query, self.embed_dim),
            ("key", key, self.kdim),
            ("value", value, self.vdim),
        ):
            if x.dim() not in (2, 3) or x.dim() != query.dim() or x.shape[-1] != width:
                raise ValueError(
                    f"{self.label()}: expected {name} {form.format(width)}, or (T, {width}) without a batch, "
                    "got "
                    f"{shape(x)}" + ("" if x is query else f" beside query {shape(query)}")
                )
            check_dtype(self, x, self.out_proj.weight.dtype)
            if self._batch(x) != self._batch(query):
                raise ValueError(
                    f"{self.label()}: expected query and {name} of one batch size, got {shape(query)} and "
                    f"{shape(x)}"
                )
        if key.shape[:-1] != value.shape[:-1]:
            raise ValueError(
                f"{self.label()}: expected as many values as keys, got key {shape(key)} and value "
                f"{shape(value)}"
            )

    def _batch(self, x: Tensor) -> int:
        """Returns how many sequences there are; 1 where there is no batch."""
        return 1 if x.dim() == 2 else x.shape[0 if self.batch_first else 1]

    def extra_repr(self) -> str:
        parts = [f"{self.embed_dim}, {self.num_heads}"]
        if self.dropout:
            parts.append(f"dropout={self.dropout}")
        if self.num_kv_heads != self.num_heads:
            parts.append(f"num_kv_heads={self.num_kv_heads}")
        if self.batch_first:
            parts.append("batch_first=True")
        return ", ".join(parts)


def cat(parts: list[Tensor], dim: int = 0) -> Tensor:
    """Joins tensors, without a copy where there is one only."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)
