"""Checks on what attention is given, and the random bits of its dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from ds_core.checks import check_dtype, shape
from torch import Tensor

if TYPE_CHECKING:
    from ds_transformer.layers.attention_weights import AttentionWeights


def check_inputs(module: AttentionWeights, query: Tensor, key: Tensor, value: Tensor) -> None:
    """Checks that query, key and value are sequences of the module's widths that fit each other.

    Raises:
        ValueError: if a shape does not fit.
        TypeError: if one has another dtype than the module's weights.
    """
    form = "(B, T, {0})" if module.batch_first else "(T, B, {0})"
    widths = (module.embed_dim, module.kdim, module.vdim)
    for name, x, width in zip(("query", "key", "value"), (query, key, value), widths, strict=True):
        if x.dim() not in (2, 3) or x.dim() != query.dim() or x.shape[-1] != width:
            raise ValueError(
                f"{module.label()}: expected {name} {form.format(width)}, or (T, {width}) without a batch, "
                f"got {shape(x)}" + ("" if x is query else f" beside query {shape(query)}")
            )
        check_dtype(module, x, module.out_proj.weight.dtype)
        batch = 0 if module.batch_first else 1
        if x.dim() == 3 and x.shape[batch] != query.shape[batch]:
            raise ValueError(
                f"{module.label()}: expected query and {name} of one batch size, got {shape(query)} and "
                f"{shape(x)}"
            )
    if key.shape[:-1] != value.shape[:-1]:
        raise ValueError(
            f"{module.label()}: expected as many values as keys, got key {shape(key)} and value "
            f"{shape(value)}"
        )


def check_mask(
    module: AttentionWeights, name: str, mask: Tensor, dtype: torch.dtype, *sizes: tuple[int, ...]
) -> None:
    """Checks that a mask is boolean or of a dtype, and of one of some sizes.

    Raises:
        TypeError: if it is of another type.
        ValueError: if it is of another size.
    """
    if mask.dtype not in (torch.bool, dtype):
        raise TypeError(
            f"{module.label()}: expected {name} of torch.bool (True: hidden) or {dtype} (added to the "
            f"scores), got {mask.dtype}"
        )
    if mask.shape not in sizes:
        raise ValueError(
            f"{module.label()}: expected {name} {' or '.join(map(str, sizes))}, got {shape(mask)}"
        )


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


def draw_noise(query: Tensor, keys: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Draws what dropout needs: random bits for each query ``(..., T, 1)`` and for each key ``(S,)``."""

    def bits(*size: int) -> Tensor:
        low, high = -(2**31), 2**31
        return torch.randint(low, high, size, generator=generator, dtype=torch.int32, device=query.device)

    return bits(*query.shape[:-1], 1), bits(keys)
