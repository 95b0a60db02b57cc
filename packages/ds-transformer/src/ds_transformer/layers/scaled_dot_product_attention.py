"""scaled_dot_product_attention: attention without weights of its own, called as torch's."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from ds_core.kernels import dispatch
from torch import Tensor

from ds_transformer import functional
from ds_transformer.layers.checks import check_attention, draw_noise

attention, attention_backward = dispatch(functional.attention, half=torch.float32)


class AttentionGradients(NamedTuple):
    """The gradients of attention's inputs, each shaped like its input."""

    query: Tensor  # (..., H, T, D)
    key: Tensor  # (..., H_kv, S, D)
    value: Tensor  # (..., H_kv, S, E)
    mask: Tensor | None  # of an additive mask, if it was wanted


def scaled_dot_product_attention(
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
    blockwise: bool | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Any]:
    """Lets every query take a weighted mean of the values, weighted by how well it matches the keys.

    out = dropout(softmax(scale Q K^T + mask)) V,   see :func:`ds_transformer.functional.attention`

    Args:
        query: ``(..., H, T, D)``.
        key: ``(..., H, S, D)``.
        value: ``(..., H, S, E)``.
        attn_mask: boolean, True where a query may look at a key, or numbers added to the scores; shaped so
            that it broadcasts to ``(..., H, T, S)``.
        dropout_p: the share of weights set to zero.
        is_causal: whether query t looks at keys 0 ... past + t only, besides what the mask hides.
        scale: what the products are multiplied by; None for 1 / sqrt(D).
        enable_gqa: whether key and value may have fewer heads: then each serves H / H_kv queries' heads, one
            after the other (grouped-query attention).
        past: how many keys come before the first query, as with a cache.
        blockwise: whether kernels compute the scores block by block and never hold them all; None to choose
            by their number.
        generator: source of dropout's random numbers.

    Returns:
        The output ``(..., H, T, E)`` and what :func:`scaled_dot_product_attention_backward` needs.

    Raises:
        ValueError: if shapes do not fit.
        TypeError: if the mask is neither boolean nor of the query's dtype.
    """
    check_attention(query, key, value, attn_mask, enable_gqa)
    hidden = ~attn_mask if attn_mask is not None and attn_mask.dtype == torch.bool else attn_mask
    noise = draw_noise(query, key.shape[-2], generator) if dropout_p > 0 else None
    hints = {"blockwise": blockwise, "need_weights": False}
    arguments = (query, key, value, hidden, scale, is_causal, past, noise, dropout_p)
    (out, _), saved = attention(*arguments, hints=hints)
    return out, saved


def scaled_dot_product_attention_backward(
    grad: Tensor, saved: Any, *, want_mask: bool = False
) -> AttentionGradients:
    """Returns the gradients of query, key, value and, if wanted, of an additive mask.

    Args:
        grad: dL/d(out), ``(..., H, T, E)``.
        saved: from the forward.
        want_mask: whether the gradient of an additive mask is wanted.
    """
    wanted = (True, True, True, want_mask)
    return AttentionGradients(*attention_backward((grad, None), saved, wanted=wanted))
