"""Rotation of pairs of numbers, as rotary positions want it."""

from __future__ import annotations

import torch
from torch import Tensor

Saved = tuple[Tensor, Tensor, bool]  # cos, sin, interleaved


def rotate(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool = False) -> tuple[Tensor, Saved]:
    """Turns every pair (a, b) of numbers by its angle:   y_a = a cos - b sin,   y_b = b cos + a sin.

    Args:
        x: ``(..., T, D)`` with D even.
        cos: cosines of the angles, ``(T, D/2)``.
        sin: their sines, ``(T, D/2)``.
        interleaved: whether a pair is two neighbours, (2i, 2i + 1); else it is (i, i + D/2).

    Returns:
        ``(..., T, D)``, and what the backward needs.
    """
    a, b = pairs(x, interleaved)
    y = _unpaired(a * cos - b * sin, b * cos + a * sin, interleaved)
    return y, (cos, sin, interleaved)


def rotate_backward(grad: Tensor, saved: Saved) -> Tensor:
    """Turns the gradient back, by minus the angle:   da = g_a cos + g_b sin,   db = g_b cos - g_a sin."""
    cos, sin, interleaved = saved
    grad_y_a, grad_y_b = pairs(grad, interleaved)
    grad_a = grad_y_a * cos + grad_y_b * sin  # y_a = a cos - b sin,   y_b = b cos + a sin
    grad_b = grad_y_b * cos - grad_y_a * sin  # y_a = a cos - b sin,   y_b = b cos + a sin
    return _unpaired(grad_a, grad_b, interleaved)


def pairs(x: Tensor, interleaved: bool) -> tuple[Tensor, Tensor]:
    """Views the first and the second numbers of all pairs, ``(..., D/2)`` each."""
    half = x.shape[-1] // 2
    return (x[..., ::2], x[..., 1::2]) if interleaved else (x[..., :half], x[..., half:])


def _unpaired(a: Tensor, b: Tensor, interleaved: bool) -> Tensor:
    """Puts the numbers of all pairs back where they were."""
    return torch.stack((a, b), -1).flatten(-2) if interleaved else torch.cat((a, b), -1)
