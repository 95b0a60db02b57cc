"""TransformerBlock: attention, then a small MLP, each around a residual connection."""

from __future__ import annotations

import torch
from ds_core import GELU, Dense, Dropout, InputGrad, LayerNorm, Module
from ds_core.functional.activations import GELUForm
from ds_core.initializers import Init
from torch import Tensor

from ds_transformer.attention import CausalSelfAttention
from ds_transformer.cache import KeyValueCache


class TransformerBlock(Module):
    """One layer of a GPT: normalise, attend, add; normalise, think, add (pre-norm).

    x1 = x + attention(norm1(x));   y = x1 + linear2(gelu(linear1(norm2(x1))))

    The parameters carry the names of ``torch.nn.TransformerEncoderLayer(norm_first=True)``.

    Args:
        d_model: C, the width.
        nhead: number of attention heads.
        dim_feedforward: inner width of the MLP; None for 4 C.
        dropout: share of numbers set to zero after attention and after the MLP.
        attention_dropout: share of attention weights set to zero.
        approximate: "none" for the exact GELU, "tanh" for its approximation.
        layer_norm_eps: added to the variance in both norms.
        bias: whether projections and norms have biases.
        init: how the weights of the projections start.
        generator: source of initial values and of dropout.

    Shape:
        x ``(..., T, C)`` -> ``(..., T, C)``.

    Source: Radford et al., Language Models are Unsupervised Multitask Learners (2019), section 2.3.
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int | None = None,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        approximate: GELUForm = "none",
        layer_norm_eps: float = 1e-5,
        bias: bool = True,
        *,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        inner = 4 * d_model if dim_feedforward is None else dim_feedforward
        self.self_attn = CausalSelfAttention(
            d_model, nhead, attention_dropout, bias, init=init, generator=generator
        )
        self.linear1 = Dense(d_model, inner, bias, init=init, generator=generator)
        self.linear2 = Dense(inner, d_model, bias, init=init, generator=generator)
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias)
        self.activation = GELU(approximate)
        self.dropout1 = Dropout(dropout, generator=generator)
        self.dropout2 = Dropout(dropout, generator=generator)

    def forward(self, x: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        x = x + self.dropout1(self.self_attn(self.norm1(x), cache))
        return x + self.dropout2(self.linear2(self.activation(self.linear1(self.norm2(x)))))

    def backward(self, grad: Tensor) -> InputGrad:
        mlp = self.linear1.backward(
            self.activation.backward(self.linear2.backward(self.dropout2.backward(grad)))
        )
        grad = grad + self.norm2.backward(mlp)
        return grad + self.norm1.backward(self.self_attn.backward(self.dropout1.backward(grad)))
