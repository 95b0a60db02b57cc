"""Rotation of pairs of numbers, as rotary positions want it: the forward with its backward below it."""

from __future__ import annotations

import torch
from torch import Tensor


def rotate(x: Tensor, cos: Tensor, sin: Tensor, interleaved: bool = False) -> Tensor:
    """Turns every pair (a, b) of numbers by its angle.

    y_a = a cos - b sin,   y_b = b cos + a sin

    Args:
        x: ``(..., T, D)`` with D even.
        cos: cosines of the angles, ``(T, D/2)``.
        sin: their sines, ``(T, D/2)``.
        interleaved: whether a pair is two neighbours, (2i, 2i + 1); else it is (i, i + D/2).

    Returns:
        ``(..., T, D)``, one number after the other in memory.
    """
    return _turn(x, cos, sin, 1.0, interleaved)


def rotate_backward(grad: Tensor, cos: Tensor, sin: Tensor, interleaved: bool = False) -> Tensor:
    """Returns dL/dx: the gradient turned back, by minus the angle.

    dL/da = g_a cos + g_b sin,   dL/db = g_b cos - g_a sin

    Args:
        grad: dL/dy, ``(..., T, D)``.
        cos: as in the forward.
        sin: as in the forward.
        interleaved: as in the forward.
    """
    return _turn(grad, cos, sin, -1.0, interleaved)


def _turn(x: Tensor, cos: Tensor, sin: Tensor, direction: float, interleaved: bool) -> Tensor:
    """Turns pairs forwards (direction 1) or backwards (-1), straight into the memory of the result."""
    a, b = _pairs(x, interleaved)  # (..., T, D/2) each
    taped = torch.is_grad_enabled()  # then every step makes a tensor of its own
    y = x if taped else x.new_empty(x.shape)
    y_a, y_b = (None, None) if taped else _pairs(y, interleaved)
    turned_a = torch.addcmul(torch.mul(a, cos, out=y_a), b, sin, value=-direction, out=y_a)
    turned_b = torch.addcmul(torch.mul(b, cos, out=y_b), a, sin, value=direction, out=y_b)
    if not taped:
        return y
    if interleaved:
        return torch.stack((turned_a, turned_b), -1).flatten(-2)
    return torch.cat((turned_a, turned_b), -1)


def _pairs(x: Tensor, interleaved: bool) -> tuple[Tensor, Tensor]:
    """Views the first and the second numbers of all pairs, ``(..., D/2)`` each."""
    half = x.shape[-1] // 2
    return (x[..., ::2], x[..., 1::2]) if interleaved else (x[..., :half], x[..., half:])
