"""Keys and values at the end of every sequence that belong to no token."""

from __future__ import annotations

import torch
from torch import Tensor


def extra_keys(
    key: Tensor, value: Tensor, bias_k: Tensor | None, bias_v: Tensor | None, zeros: bool
) -> tuple[tuple[Tensor, Tensor], tuple[int, bool]]:
    """Puts a learned key and value at the end of every sequence, then a key and a value of zeros.

    Args:
        key: ``(B, H, S, D)``.
        value: ``(B, H, S, D)``.
        bias_k: the learned key, ``(1, 1, H D)``; None for none.
        bias_v: the learned value.
        zeros: whether those of zeros are wanted.

    Returns:
        Keys and values ``(B, H, S + 1, D)`` or ``(B, H, S + 2, D)``.
    """
    saved = (key.shape[2], bias_k is not None)
    if bias_k is not None and bias_v is not None:
        size = (*key.shape[:2], 1, key.shape[3])
        key = torch.cat((key, bias_k.view(size[1:]).expand(size)), 2)
        value = torch.cat((value, bias_v.view(size[1:]).expand(size)), 2)
    if zeros:
        nothing = torch.zeros_like(key[:, :, :1])
        key, value = torch.cat((key, nothing), 2), torch.cat((value, nothing), 2)
    return (key, value), saved


def extra_keys_backward(
    grad: tuple[Tensor, Tensor], saved: tuple[int, bool]
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Returns the gradients of key, value, bias_k and bias_v; all sequences share the learned ones."""
    grad_key, grad_value = grad
    keys, learned = saved
    grad_bias_k = grad_key[:, :, keys].sum(0).view(1, 1, -1) if learned else None  # key, then bias_k
    grad_bias_v = grad_value[:, :, keys].sum(0).view(1, 1, -1) if learned else None  # value, then bias_v
    return grad_key[:, :, :keys], grad_value[:, :, :keys], grad_bias_k, grad_bias_v  # then zeros
