"""scaled_dot_product_attention: attention without weights of its own, called as torch's."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from ds_core.checks import shape
from ds_core.kernels import dispatch
from torch import Tensor

from ds_transformer import functional
from ds_transformer.layers.noise import draw_noise

attention, attention_backward = dispatch(functional.attention, half=torch.float32, low=True)


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
        ValueError: if shapes do not fit, or a number is out of range.
        TypeError: if query, key and value are not floating point and of one dtype, or the mask is neither
            boolean nor of that.
    """
    if past < 0:
        raise ValueError(f"scaled_dot_product_attention: expected past of at least 0, got {past}")
    if not 0 <= dropout_p <= 1:
        raise ValueError(f"scaled_dot_product_attention: expected dropout_p from 0 to 1, got {dropout_p}")
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


def check_attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, enable_gqa: bool
) -> None:
    """Checks shapes and types, as :func:`scaled_dot_product_attention` says them."""
    name = "scaled_dot_product_attention"
    if query.dim() < 2 or key.dim() != query.dim() or value.dim() != query.dim():
        raise ValueError(
            f"{name}: expected query (..., T, D), key (..., S, D) and value (..., S, E) of as many "
            f"dimensions, got {shape(query)}, {shape(key)} and {shape(value)}"
        )
    if not query.is_floating_point() or not query.dtype == key.dtype == value.dtype:
        raise TypeError(
            f"{name}: expected query, key and value of one floating point dtype, got {query.dtype}, "
            f"{key.dtype} and {value.dtype}"
        )
    if key.shape[-1] != query.shape[-1]:
        raise ValueError(
            f"{name}: expected query and key of one width, got {query.shape[-1]} and {key.shape[-1]}"
        )
    if key.shape[:-1] != value.shape[:-1]:
        raise ValueError(
            f"{name}: expected as many values as keys, got key {shape(key)} and value {shape(value)}"
        )
    if query.shape[:-2] != key.shape[:-2]:
        grouped = (
            enable_gqa
            and query.dim() > 2
            and query.shape[:-3] == key.shape[:-3]
            and query.shape[-3] % max(1, key.shape[-3]) == 0
        )
        if not grouped:
            expected = (
                "heads that those of the key divide" if enable_gqa else "the leading dimensions of the key"
            )
            raise ValueError(f"{name}: expected query with {expected}, got {shape(query)} and {shape(key)}")
    if attn_mask is not None:
        full = (*query.shape[:-1], key.shape[-2])
        if attn_mask.dtype not in (torch.bool, query.dtype):
            raise TypeError(
                f"{name}: expected a mask of torch.bool (True: may look) or {query.dtype} (added to the "
                f"scores), got {attn_mask.dtype}"
            )
        sizes = zip(reversed(attn_mask.shape), reversed(full), strict=False)
        if attn_mask.dim() > len(full) or any(ours not in (1, theirs) for ours, theirs in sizes):
            raise ValueError(
                f"{name}: expected a mask that broadcasts to {full}, queries by keys, got {shape(attn_mask)}"
            )
