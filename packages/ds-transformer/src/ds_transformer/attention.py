"""CausalSelfAttention: every position looks at itself and at what came before."""

from __future__ import annotations

import torch
from ds_core import Dense, InputGrad, Module, Parameter
from ds_core.checks import check_features, shape
from ds_core.initializers import Init, initialize
from ds_core.layers.dense import as_rows
from torch import Tensor

from ds_transformer.cache import KeyValueCache
from ds_transformer.functional.attention import (
    causal_bias,
    scaled_dot_product_attention,
    scaled_dot_product_attention_backward,
)


class CausalSelfAttention(Module):
    """Mixes each position of a sequence with the positions before it, in several heads side by side.

    Q, K, V = split(x W_in^T + b_in);   y = concat_heads(softmax(Q K^T / sqrt(D) + causal) V) W_out^T + b_out

    The parameters carry the names of ``torch.nn.MultiheadAttention``, so weights move both ways.

    Args:
        embed_dim: C, the width of input and output.
        num_heads: H; each head works on D = C / H of the numbers.
        dropout: the share of attention weights set to zero in training.
        bias: whether both projections add a bias.
        init: how the weights start; None for torch.nn.Linear's default.
        generator: source of the initial values and of dropout; None for torch's global one.

    Shape:
        x ``(..., T, C)`` -> y ``(..., T, C)``; in_proj_weight ``(3C, C)``, out_proj.weight ``(C, C)``.

    Raises:
        ValueError: if C is not a multiple of H, or the last dimension of x is not C.

    Source: Vaswani et al., Attention Is All You Need (2017), section 3.2.
    """

    in_proj_weight: Tensor
    in_proj_bias: Tensor | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        *,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        if num_heads < 1 or embed_dim % num_heads:
            raise ValueError(
                f"CausalSelfAttention: expected a width that num_heads divides, "
                f"got embed_dim={embed_dim}, num_heads={num_heads}"
            )
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.generator = generator
        self.in_proj_weight = Parameter(torch.empty(3 * embed_dim, embed_dim))
        initialize(self.in_proj_weight, init, generator)
        self.register_parameter("in_proj_bias", Parameter(torch.zeros(3 * embed_dim)) if bias else None)
        self.out_proj = Dense(embed_dim, embed_dim, bias, init=init, generator=generator)
        self._bias = torch.empty(0, 0)  # the causal bias of the latest shape, kept for the next forward

    def forward(self, x: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        check_features(self, x, self.embed_dim, self.in_proj_weight)
        if x.dim() < 2:
            raise ValueError(
                f"{self.label()}: expected a sequence (..., T, {self.embed_dim}), got {shape(x)}"
            )
        rows = as_rows(x)  # (B T, C)
        if self.in_proj_bias is None:
            projected = rows @ self.in_proj_weight.T  # (B T, 3C)
        else:
            projected = torch.addmm(self.in_proj_bias, rows, self.in_proj_weight.T)
        query, key, value = self._split(projected, x.shape[-2])  # (B H, T, D) each
        if cache is not None:
            key, value = cache.extend(key, value)  # (B H, S, D)
        out, attention = scaled_dot_product_attention(
            query,
            key,
            value,
            self._causal_bias(query, key),
            self.dropout if self.training else 0.0,
            self.generator,
        )
        self.save(rows, attention)
        return self.out_proj(self._merge(out).view(x.shape))

    def backward(self, grad: Tensor) -> InputGrad:
        grad = self.out_proj.backward(grad)  # (..., T, C)
        rows, attention = self.saved()
        heads = grad.reshape(-1, grad.shape[-2], self.num_heads, self.embed_dim // self.num_heads)
        grads = scaled_dot_product_attention_backward(
            heads.transpose(1, 2).reshape(-1, heads.shape[1], heads.shape[3]), attention
        )
        projected = self._join(grads, grad.shape[-2])  # (B T, 3C)
        self.add_grad("in_proj_weight", lambda: projected.T @ rows)
        self.add_grad("in_proj_bias", lambda: projected.sum(0))
        return (projected @ self.in_proj_weight).view(grad.shape) if self.input_grad else None

    def _split(self, projected: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor]:
        """Cuts ``(B T, 3C)`` into query, key and value ``(B H, T, D)``."""
        head_dim = self.embed_dim // self.num_heads
        parts = projected.view(-1, length, 3, self.num_heads, head_dim).permute(2, 0, 3, 1, 4)
        query, key, value = parts.reshape(3, -1, length, head_dim)
        return query, key, value

    def _join(self, grads: tuple[Tensor, Tensor, Tensor], length: int) -> Tensor:
        """Puts ``(B H, T, D)`` three times back into ``(B T, 3C)``: the mirror of ``_split``."""
        heads = [g.view(-1, self.num_heads, length, g.shape[-1]).transpose(1, 2) for g in grads]
        return torch.stack(heads, dim=2).view(-1, 3 * self.embed_dim)  # (B, T, 3, H, D)

    def _merge(self, out: Tensor) -> Tensor:
        """Lays the heads ``(B H, T, D)`` side by side, ``(B, T, C)``."""
        heads = out.view(-1, self.num_heads, out.shape[-2], out.shape[-1])
        return heads.transpose(1, 2).reshape(-1, out.shape[-2], self.embed_dim)

    def _causal_bias(self, query: Tensor, key: Tensor) -> Tensor | None:
        """Returns the bias for these lengths; None for a single query, which sees everything."""
        queries, keys = query.shape[-2], key.shape[-2]
        if queries == 1:
            return None
        kept = self._bias
        if kept.shape != (queries, keys) or kept.dtype != query.dtype or kept.device != query.device:
            self._bias = causal_bias(queries, keys, query)
        return self._bias

    def extra_repr(self) -> str:
        return f"{self.embed_dim}, {self.num_heads}" + (f", dropout={self.dropout}" if self.dropout else "")
