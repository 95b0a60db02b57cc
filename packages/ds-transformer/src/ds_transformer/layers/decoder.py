"""TransformerDecoderLayer and TransformerDecoder: positions look back, and at what an encoder has read."""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import torch
from ds_core import Dropout, LayerNorm, Module
from torch import Tensor

from ds_transformer.cache import KeyValueCache
from ds_transformer.layers.multihead_attention import MultiheadAttention
from ds_transformer.layers.transformer_layer import (
    TransformerLayer,
    TransformerOptions,
    TransformerStack,
    sorted_options,
)


class DecoderCache(NamedTuple):
    """What one decoder layer remembers while a sequence is written position by position."""

    own: KeyValueCache  # of the positions written so far
    memory: KeyValueCache  # of the memory, filled by the first step

    def reorder(self, index: Tensor) -> DecoderCache:
        """Takes sequences of the batch, see :meth:`KeyValueCache.reorder`."""
        return DecoderCache(self.own.reorder(index), self.memory.reorder(index))


class TransformerDecoderLayer(TransformerLayer):
    """Lets positions look back, then at a memory, then think; each part is added to what was there.

    norm first:   x1 = x + attention(norm1(x)),   x2 = x1 + attention(norm2(x1), memory),
                  y = x2 + f(norm3(x2))
    norm last:    x1 = norm1(x + attention(x)),   x2 = norm2(x1 + attention(x1, memory)),
                  y = norm3(x2 + f(x2))

    Args:
        d_model: C, the width, also of the memory.
        nhead: H, heads of both attentions.
        dim_feedforward: inner width of f(x) = linear2(activation(linear1(x))).
        dropout: share of numbers set to zero in training after each part, inside f, and of attention weights.
        activation: "relu", "gelu" or a Module, which is copied.
        layer_norm_eps: added to the variance in the norms.
        batch_first: whether sequences are ``(B, T, C)`` and not ``(T, B, C)``.
        norm_first: whether each part normalises what it reads, and not the sum.
        bias: whether projections and norms have biases.
        device: of the parameters.
        dtype: of the parameters.
        rotary: of the attention to its own positions, see :class:`MultiheadAttention`.
        score_bias: of the attention to its own positions, see :class:`MultiheadAttention`.
        options: see :class:`TransformerOptions`; ``init`` is of the projections.

    Shape:
        tgt ``(B, T, C)``, memory ``(B, S, C)``, or without B, or ``(T, B, C)`` unless ``batch_first`` -> like
        tgt; tgt_mask ``(T, T)``, memory_mask ``(T, S)``, or ``(B H, ...)``; tgt_key_padding_mask ``(B, T)``,
        memory_key_padding_mask ``(B, S)``: True at what is hidden, or numbers added to the scores.
        ``backward`` returns the gradients of tgt and memory.

    Raises:
        ValueError: if an option is out of range or a shape does not fit.
        TypeError: if there is no memory.

    Source: Vaswani et al., Attention Is All You Need (2017), section 3.1.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Module = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        rotary: Module | None = None,
        score_bias: Module | None = None,
        **options: Unpack[TransformerOptions],
    ) -> None:
        self.norm_first = norm_first
        made: dict[str, Any] = {"device": device, "dtype": dtype}
        attention, network = sorted_options(dropout, **options)
        attention |= {"bias": bias, "batch_first": batch_first, **made}
        self.self_attn = MultiheadAttention(d_model, nhead, rotary=rotary, score_bias=score_bias, **attention)
        self.multihead_attn = MultiheadAttention(d_model, nhead, **attention)
        self.add_feed_forward(d_model, dim_feedforward, activation, bias, **made, **network)
        self.norm1, self.norm2, self.norm3 = (
            LayerNorm(d_model, layer_norm_eps, bias=bias, **made) for _ in range(3)
        )
        self.dropout1, self.dropout2, self.dropout3 = (
            Dropout(dropout, generator=network["generator"]) for _ in range(3)
        )

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
        *,
        cache: DecoderCache | None = None,
    ) -> Tensor:
        if memory is None:  # which attention would take for the sequence itself
            raise TypeError(f"{self.label()}: expected memory to be a tensor, got None")

        def attend(x: Tensor) -> Tensor:
            y, _ = self.self_attn(
                x,
                key_padding_mask=tgt_key_padding_mask,
                need_weights=False,
                attn_mask=tgt_mask,
                is_causal=tgt_is_causal,
                cache=cache and cache.own,
            )
            return self.dropout1(y)

        def attend_memory(x: Tensor) -> Tensor:
            y, _ = self.multihead_attn(
                x,
                memory,
                key_padding_mask=memory_key_padding_mask,
                need_weights=False,
                attn_mask=memory_mask,
                is_causal=memory_is_causal,
                cache=cache and cache.memory,
            )
            return self.dropout2(y)

        x = tgt
        if self.norm_first:
            x = x + attend(self.norm1(x))
            x = x + attend_memory(self.norm2(x))
            return x + self.dropout3(self.feed_forward(self.norm3(x)))
        x = self.norm1(x + attend(x))
        x = self.norm2(x + attend_memory(x))
        return self.norm3(x + self.dropout3(self.feed_forward(x)))

    def backward(self, grad: Tensor) -> tuple[Tensor, Tensor]:
        def unattend(grad: Tensor) -> Tensor:
            return self.self_attn.backward(self.dropout1.backward(grad))

        def unattend_memory(grad: Tensor) -> tuple[Tensor, Tensor]:
            return self.multihead_attn.backward(self.dropout2.backward(grad))

        if self.norm_first:
            grad = grad + self.norm3.backward(self.feed_forward_backward(self.dropout3.backward(grad)))
            through, grad_memory = unattend_memory(grad)
            grad = grad + self.norm2.backward(through)
            return grad + self.norm1.backward(unattend(grad)), grad_memory
        grad = self.norm3.backward(grad)
        grad = self.norm2.backward(grad + self.feed_forward_backward(self.dropout3.backward(grad)))
        through, grad_memory = unattend_memory(grad)
        grad = self.norm1.backward(grad + through)
        return grad + unattend(grad), grad_memory


class TransformerDecoder(TransformerStack):
    """Writes a sequence, looking at a memory, with several decoder layers, one after the other.

    y = norm(layer_n(... layer_1(x, memory) ..., memory))

    Args:
        decoder_layer: copied ``num_layers`` times; all copies begin with the same weights.
        num_layers: n.
        norm: at the end; None for none. It is needed where the layers normalise first.

    Shape:
        tgt and memory as in :class:`TransformerDecoderLayer` -> like tgt. ``backward`` returns the gradients
        of both.

    Raises:
        ValueError: if ``num_layers`` is below 1 or there are not as many caches.

    Source: Vaswani et al., Attention Is All You Need (2017), section 3.1.
    """

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        self.add_layers(decoder_layer, num_layers, norm)

    def _torch_options(self) -> dict[str, Any]:
        return {"decoder_layer": self.layers[0]}

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
        *,
        caches: list[DecoderCache] | None = None,
    ) -> Tensor:
        masks = (tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask)
        x = tgt
        for layer, cache in self.with_caches(caches):
            x = layer(x, memory, *masks, bool(tgt_is_causal), memory_is_causal, cache=cache)
        return x if self.norm is None else self.norm(x)

    def backward(self, grad: Tensor) -> tuple[Tensor, Tensor]:
        if self.norm is not None:
            grad = self.norm.backward(grad)
        grad_memory: Tensor | None = None
        for layer in reversed(self.layers):
            grad, part = layer.backward(grad)
            grad_memory = part if grad_memory is None else grad_memory.add_(part)
        assert grad_memory is not None  # there is a layer
        return grad, grad_memory
