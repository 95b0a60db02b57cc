"""What MultiheadAttention begins with: its weights, and the checks on what it is given."""

from __future__ import annotations

from typing import Any

import torch
from ds_core import Dense, Module, Parameter
from ds_core.checks import check_dtype, shape
from ds_core.initializers import Init, initialize, xavier_normal_, xavier_uniform_, zeros_
from torch import Tensor

from ds_transformer.cache import KeyValueCache
from ds_transformer.masks import causal_mask, join_masks, show_more

# Which of Q, K, V come from each input: the weights of neighbours lie on top of one another.
PARTS = {1: ((0, 1, 2),), 2: ((0,), (1, 2)), 3: ((0,), (1,), (2,))}


class AttentionWeights(Module):
    """Base of :class:`MultiheadAttention`: holds the weights, checks inputs and masks."""

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
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        num_kv_heads: int | None = None,
        rotary: Module | None = None,
        score_bias: Module | None = None,
        blockwise: bool | None = None,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        """Makes the weights.

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
            device: of the parameters.
            dtype: of the parameters.
            num_kv_heads: how many heads key and value have (grouped-query attention); None for H, which it
                must divide.
            rotary: turns queries and keys by their positions, see :class:`RotaryPositions`; in
                self-attention, which is then all that the layer takes.
            score_bias: adds to the scores by position, see :class:`ALiBi` and :class:`RelativePositionBias`.
            blockwise: whether kernels compute the scores block by block and never hold them all; None to
                choose by their number. Where the weights are wanted, they are held.
            init: how the projections' weights are drawn; None for torch.nn's default.
            generator: source of the initial values and of dropout; None for torch's global one.

        Raises:
            ValueError: if C is not a multiple of H, or another number is out of range.
        """
        if num_heads < 1 or embed_dim < 1 or embed_dim % num_heads:
            raise ValueError(
                f"{type(self).__name__}: expected a width that num_heads divides, "
                f"got embed_dim={embed_dim}, num_heads={num_heads}"
            )
        kv_heads = num_heads if num_kv_heads is None else num_kv_heads
        if kv_heads < 1 or num_heads % kv_heads:
            raise ValueError(
                f"{type(self).__name__}: expected num_kv_heads that divides num_heads, "
                f"got num_heads={num_heads}, num_kv_heads={num_kv_heads}"
            )
        if not 0 <= dropout <= 1:
            raise ValueError(f"{type(self).__name__}: expected dropout from 0 to 1, got {dropout}")
        self.embed_dim, self.num_heads, self.num_kv_heads = embed_dim, num_heads, kv_heads
        self.head_dim = embed_dim // num_heads
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn
        self.blockwise, self.generator = blockwise, generator
        kv_dim = kv_heads * self.head_dim
        self.sizes = (embed_dim, kv_dim, kv_dim)  # rows of the three projections

        made: dict[str, Any] = {"device": device, "dtype": dtype}

        # The order of drawing is torch.nn's: the same seed gives the same weights.
        self.out_proj = Dense(embed_dim, embed_dim, bias, init=init, generator=generator, **made)
        if self.out_proj.bias is not None:
            zeros_(self.out_proj.bias)

        def weight(rows: int, columns: int) -> Tensor:
            return Parameter(
                initialize(torch.empty(rows, columns, **made), init or xavier_uniform_, generator)
            )

        same = self.kdim == self.vdim == embed_dim
        self.register_parameter("in_proj_weight", weight(sum(self.sizes), embed_dim) if same else None)
        for name, rows, columns in zip("qkv", self.sizes, (embed_dim, self.kdim, self.vdim), strict=True):
            self.register_parameter(f"{name}_proj_weight", None if same else weight(rows, columns))
        joint_bias = Parameter(torch.zeros(sum(self.sizes), **made)) if bias else None
        self.register_parameter("in_proj_bias", joint_bias)
        for name in ("bias_k", "bias_v"):
            extra = (
                xavier_normal_(torch.empty(1, 1, kv_dim, **made), generator=generator)
                if add_bias_kv
                else None
            )
            self.register_parameter(name, None if extra is None else Parameter(extra))
        self.rotary, self.score_bias = rotary, score_bias

    def _torch_options(self) -> dict[str, Any]:
        if self.num_kv_heads != self.num_heads:
            raise NotImplementedError(
                f"{self.label()}: torch.nn's has as many heads of key and value as of the query, this one "
                f"{self.num_kv_heads} of {self.num_heads}"
            )
        return {"bias": self.in_proj_bias is not None, "add_bias_kv": self.bias_k is not None}

    def _given(
        self, query: Tensor, key: Tensor | None, value: Tensor | None, cache: KeyValueCache | None
    ) -> list[Tensor]:
        """Checks the inputs, and returns those that are given, as batches."""
        if key is None and value is not None:
            raise ValueError(f"{self.label()}: expected a key with the value, got None")
        if key is not None and self.rotary is not None:
            raise ValueError(
                f"{self.label()}: rotary positions are of self-attention: give the query alone, got a key"
            )
        if key is query and cache is not None:  # it would stay as the first call filled it
            raise ValueError(
                f"{self.label()}: in self-attention with a cache, give the query alone, got it as key, too"
            )
        if cache is not None and self.recording:
            raise RuntimeError(f"{self.label()}: a cache is for generating: call eval() first")
        keys = query if key is None else key
        self._check_inputs(query, keys, keys if value is None else value)
        return [self._batched(x) for x in (query, key, value) if x is not None]

    def _batched(self, x: Tensor) -> Tensor:
        """Adds the dimension of the batch where there is none."""
        return x if x.dim() == 3 else x.unsqueeze(0 if self.batch_first else 1)

    def _products(self, inputs: list[Tensor]) -> list[tuple[Tensor, Tensor, Tensor | None, tuple[int, ...]]]:
        """Lists input, weight, bias and heads of as few projections as inputs and weights allow."""
        if self.in_proj_weight is None:
            inputs = inputs + inputs[-1:] * (3 - len(inputs))
        heads = (self.num_heads, self.num_kv_heads, self.num_kv_heads)
        parts = [tuple(heads[i] for i in part) for part in PARTS[len(inputs)]]
        rows = [sum(part) * self.head_dim for part in parts]
        each = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        weights: Any = each if self.in_proj_weight is None else parted(self.in_proj_weight, rows)
        biases: Any = [None] * 3 if self.in_proj_bias is None else parted(self.in_proj_bias, rows)
        return list(zip(inputs, weights, biases, parts, strict=False))

    def _mask(
        self,
        q: Tensor,
        keys: int,
        extra: int,
        past: int,
        key_padding_mask: Tensor | None,
        attn_mask: Tensor | None,
        is_causal: bool,
        bias: Tensor | None,
    ) -> Tensor | None:
        """Checks all masks and joins them, and the bias, to one."""
        batch, heads, queries, _ = q.shape
        if attn_mask is not None:
            self._check_mask("attn_mask", attn_mask, q.dtype, (queries, keys), (batch * heads, queries, keys))
            if attn_mask.dim() == 3:
                attn_mask = attn_mask.view(batch, heads, queries, keys)
        if key_padding_mask is not None:
            self._check_mask("key_padding_mask", key_padding_mask, q.dtype, (batch, keys), (keys,))
            if key_padding_mask.dim() < 2 and batch > 1:
                raise ValueError(f"{self.label()}: expected a key_padding_mask for each of {batch} sequences")
            key_padding_mask = key_padding_mask.view(batch, 1, 1, keys)
        ahead = None
        if is_causal and extra:  # which everybody sees, though they stand at the end
            ahead = causal_mask(queries, keys, past, device=q.device)
        if bias is not None and bias.shape != (heads, queries, keys):
            raise ValueError(
                f"{self.label()}: expected a score_bias of {heads} heads, {(heads, queries, keys)}, got "
                f"{shape(bias)}"
            )
        bias = None if bias is None else bias.to(q.dtype)
        return show_more(join_masks(attn_mask, key_padding_mask, ahead, bias), extra)

    def _check_inputs(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        """Checks that query, key and value are sequences of the layer's widths that fit each other.

        Raises:
            ValueError: if a shape does not fit.
            TypeError: if one has another dtype than the layer's weights.
        """
        form = "(B, T, {0})" if self.batch_first else "(T, B, {0})"
        widths = (self.embed_dim, self.kdim, self.vdim)
        for name, x, width in zip(("query", "key", "value"), (query, key, value), widths, strict=True):
            if x.dim() not in (2, 3) or x.dim() != query.dim() or x.shape[-1] != width:
                raise ValueError(
                    f"{self.label()}: expected {name} {form.format(width)}, or (T, {width}) without a batch, "
                    f"got {shape(x)}" + ("" if x is query else f" beside query {shape(query)}")
                )
            check_dtype(self, x, self.out_proj.weight.dtype)
            batch = 0 if self.batch_first else 1
            if x.dim() == 3 and x.shape[batch] != query.shape[batch]:
                raise ValueError(
                    f"{self.label()}: expected query and {name} of one batch size, got {shape(query)} and "
                    f"{shape(x)}"
                )
        if key.shape[:-1] != value.shape[:-1]:
            raise ValueError(
                f"{self.label()}: expected as many values as keys, got key {shape(key)} and value "
                f"{shape(value)}"
            )

    def _check_mask(self, name: str, mask: Tensor, dtype: torch.dtype, *sizes: tuple[int, ...]) -> None:
        """Checks that a mask is boolean or of a dtype, and of one of some sizes.

        Raises:
            TypeError: if it is of another type.
            ValueError: if it is of another size.
        """
        if mask.dtype not in (torch.bool, dtype):
            raise TypeError(
                f"{self.label()}: expected {name} of torch.bool (True: hidden) or {dtype} (added to the "
                f"scores), got {mask.dtype}"
            )
        if mask.shape not in sizes:
            raise ValueError(
                f"{self.label()}: expected {name} {' or '.join(map(str, sizes))}, got {shape(mask)}"
            )

    def extra_repr(self) -> str:
        parts = [f"{self.embed_dim}, {self.num_heads}"]
        if self.dropout:
            parts.append(f"dropout={self.dropout}")
        if self.num_kv_heads != self.num_heads:
            parts.append(f"num_kv_heads={self.num_kv_heads}")
        if self.batch_first:
            parts.append("batch_first=True")
        return ", ".join(parts)


def parted(rows: Tensor, counts: list[int]) -> tuple[Tensor, ...]:
    """Views rows as parts of so many each."""
    return (rows,) if len(counts) == 1 else rows.split(counts)
