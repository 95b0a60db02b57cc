"""Encoder and decoder layers that are told, at every layer anew, where things are."""

from __future__ import annotations

from typing import Any

import torch
from ds_core import Dropout, LayerNorm
from ds_core.initializers import xavier_uniform_
from ds_transformer import MultiheadAttention
from ds_transformer.layers.transformer_layer import TransformerLayer
from torch import Tensor

from ds_zoo.activations import ACTIVATIONS


class DETREncoderLayer(TransformerLayer):
    """Lets the places of an image look at each other; the positions say where, not what, they are.

    x1 = norm1(x + attention(x + p, x + p, x)),   y = norm2(x1 + f(x1)),
    f(x) = linear2(activation(linear1(x)))

    Args:
        width: C.
        heads: of the attention.
        inner: width inside f.
        dropout: share of numbers set to zero in training after each part.
        activation: "relu", "gelu" or "silu", say.
        attention_dropout: of attention weights.
        activation_dropout: inside f.
        generator: source of initial values and dropout.

    Shape:
        x ``(B, S, C)``; positions p, constant, ``(B, S, C)`` or ``(1, S, C)``; hidden ``(B, S)``, True at
        padding, or None -> like x.

    Source: Carion et al., End-to-End Object Detection with Transformers (2020), section A.3 and figure 10.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        inner: int,
        dropout: float = 0.1,
        activation: str = "relu",
        attention_dropout: float = 0.0,
        activation_dropout: float = 0.0,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        self.norm_first = False
        start: dict[str, Any] = {"init": xavier_uniform_, "generator": generator}
        self.self_attn = MultiheadAttention(width, heads, attention_dropout, batch_first=True, **start)
        network = (width, inner, ACTIVATIONS[activation](), True, None, None)
        self.add_feed_forward(*network, dropout=activation_dropout, **start)
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.dropout1, self.dropout2 = (Dropout(dropout, generator=generator) for _ in range(2))

    def forward(self, x: Tensor, positions: Tensor, hidden: Tensor | None = None) -> Tensor:
        where = x + positions
        y, _ = self.self_attn(where, where, x, key_padding_mask=hidden, need_weights=False)
        x = self.norm1(x + self.dropout1(y))
        return self.norm2(x + self.dropout2(self.feed_forward(x)))

    def backward(self, grad: Tensor) -> Tensor:
        grad = self.norm2.backward(grad)
        grad = self.norm1.backward(grad + self.feed_forward_backward(self.dropout2.backward(grad)))
        query, key, value = self.self_attn.backward(self.dropout1.backward(grad))
        return grad + query + key + value


class DETRDecoderLayer(TransformerLayer):
    """Lets queries look at each other, then at the image, then think.

    x1 = norm1(x + attention(x + o, x + o, x)),   x2 = norm2(x1 + attention(x1 + o, m + p, m)),
    y = norm3(x2 + f(x2)),   f(x) = linear2(activation(linear1(x)))

    o are the queries' own positions, p the image's. Queries may come in G groups for each image, which do not
    see each other: B G rows of queries for B images.

    Args:
        width: C.
        heads: of the attentions.
        inner: width inside f.
        dropout: share of numbers set to zero in training after each part.
        activation: "relu", "gelu" or "silu", say.
        attention_dropout: of attention weights.
        activation_dropout: inside f.
        generator: source of initial values and dropout.

    Shape:
        x ``(B G, Q, C)``; positions o, which broadcast with x; memory m ``(B, S, C)``; keys m + p alike;
        hidden ``(B, S)``, True at padding, or ``(B, G Q, S)``, True where a query may not look, or numbers
        added to its scores, or None -> like x. ``backward`` returns the gradients of x, positions (shaped
        like x), memory and keys.

    Source: Carion et al., End-to-End Object Detection with Transformers (2020), section A.3 and figure 10.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        inner: int,
        dropout: float = 0.1,
        activation: str = "relu",
        attention_dropout: float = 0.0,
        activation_dropout: float = 0.0,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        self.norm_first = False
        start: dict[str, Any] = {"init": xavier_uniform_, "generator": generator}
        self.self_attn, self.multihead_attn = (
            MultiheadAttention(width, heads, attention_dropout, batch_first=True, **start) for _ in range(2)
        )
        network = (width, inner, ACTIVATIONS[activation](), True, None, None)
        self.add_feed_forward(*network, dropout=activation_dropout, **start)
        self.norm1, self.norm2, self.norm3 = (LayerNorm(width) for _ in range(3))
        self.dropout1, self.dropout2, self.dropout3 = (
            Dropout(dropout, generator=generator) for _ in range(3)
        )

    def forward(
        self, x: Tensor, positions: Tensor, memory: Tensor, keys: Tensor, hidden: Tensor | None = None
    ) -> Tensor:
        where = x + positions
        y, _ = self.self_attn(where, where, x, need_weights=False)
        x = self.norm1(x + self.dropout1(y))
        where = (x + positions).view(memory.shape[0], -1, x.shape[-1])  # (B, G Q, C)
        mask = {"key_padding_mask": hidden}
        if hidden is not None and hidden.dim() == 3:  # of each query, the same for all heads
            mask = {"attn_mask": hidden.repeat_interleave(self.multihead_attn.num_heads, 0)}
        y, _ = self.multihead_attn(where, keys, memory, need_weights=False, **mask)
        x = self.norm2(x + self.dropout2(y.view(x.shape)))
        self.save(where.shape)
        return self.norm3(x + self.dropout3(self.feed_forward(x)))

    def backward(self, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        (side_by_side,) = self.saved()
        grad = self.norm3.backward(grad)
        grad = self.norm2.backward(grad + self.feed_forward_backward(self.dropout3.backward(grad)))
        y = self.dropout2.backward(grad).view(side_by_side)
        grad_where, grad_keys, grad_memory = self.multihead_attn.backward(y)
        grad_where = grad_where.view(grad.shape)
        grad = self.norm1.backward(grad + grad_where)
        query, key, value = self.self_attn.backward(self.dropout1.backward(grad))
        return grad + query + key + value, grad_where + query + key, grad_memory, grad_keys
