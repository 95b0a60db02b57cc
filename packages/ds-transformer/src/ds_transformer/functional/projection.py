"""From positions to heads, and back."""

from __future__ import annotations

import torch
from ds_core.functional.linear import Saved as LinearSaved
from ds_core.functional.linear import linear, linear_backward
from torch import Tensor

Saved = tuple[LinearSaved, bool]  # of linear, and batch_first


def projection(
    x: Tensor, weight: Tensor, bias: Tensor | None, parts: tuple[int, ...], batch_first: bool
) -> tuple[tuple[Tensor, ...], Saved]:
    """Maps every position, and cuts the result into heads, and these into parts: y = x W^T + b.

    Args:
        x: ``(B, T, C)``, or ``(T, B, C)`` unless ``batch_first``.
        weight: W, ``(sum of parts * D, C)``.
        bias: b, ``(sum of parts * D,)``.
        parts: how many heads each part has, as H of queries, H of keys and H of values.
        batch_first: whether sequences lie one after the other.

    Returns:
        For each part ``(B, heads, T, D)``.
    """
    y, saved = linear(x, weight, bias)  # (B, T, H D)
    return split_heads(y, sum(parts), batch_first).split(parts, 1), (saved, batch_first)


def projection_backward(grad: tuple[Tensor, ...], saved: Saved) -> tuple[Tensor, Tensor, Tensor | None]:
    """With g, the gradients of all parts side by side:   dx = g W,   dW = g^T x,   db = sum of g."""
    of_linear, batch_first = saved
    g = join_heads(torch.cat(grad, 1), batch_first)  # the cut into heads and parts
    return linear_backward(g, of_linear)  # y = x W^T + b


def split_heads(x: Tensor, heads: int, batch_first: bool) -> Tensor:
    """Views ``(B, T, H D)`` or ``(T, B, H D)`` as heads ``(B, H, T, D)``; backward is :func:`join_heads`."""
    x = x.unflatten(-1, (heads, x.shape[-1] // heads))
    return x.transpose(1, 2) if batch_first else x.permute(1, 2, 0, 3)


def join_heads(x: Tensor, batch_first: bool) -> Tensor:
    """Lays heads ``(B, H, T, D)`` side by side, ``(B, T, H D)`` or ``(T, B, H D)``: undoes the split."""
    return (x.transpose(1, 2) if batch_first else x.permute(2, 0, 1, 3)).flatten(2)
