"""Pixel shuffling: channels become pixels, and the other way round."""

from __future__ import annotations

from torch import Tensor


def pixel_shuffle(x: Tensor, factor: int) -> tuple[Tensor, int]:
    """Turns every r^2 channels into one: ``(..., C r^2, H, W)`` -> ``(..., C, H r, W r)``.

    y[c, i r + u, j r + v] = x[c r^2 + u r + v, i, j],   r = factor
    """
    parts = x.unflatten(-3, (x.shape[-3] // factor**2, factor, factor))  # (..., C, r, r, H, W)
    y = parts.movedim((-4, -3), (-3, -1))  # (..., C, H, r, W, r)
    return y.flatten(-2).flatten(-3, -2), factor


def pixel_shuffle_backward(grad: Tensor, saved: int) -> Tensor:
    """Puts every number back where it came from."""
    return pixel_unshuffle(grad, saved)[0]


def pixel_unshuffle(x: Tensor, factor: int) -> tuple[Tensor, int]:
    """Turns every r x r pixels into r^2 channels of one: ``(..., C, H r, W r)`` -> ``(..., C r^2, H, W)``.

    y[c r^2 + u r + v, i, j] = x[c, i r + u, j r + v],   r = factor
    """
    height, width = x.shape[-2] // factor, x.shape[-1] // factor
    parts = x.unflatten(-1, (width, factor)).unflatten(-3, (height, factor))  # (..., C, H, r, W, r)
    y = parts.movedim((-3, -1), (-4, -3))  # (..., C, r, r, H, W)
    return y.flatten(-5, -3), factor


def pixel_unshuffle_backward(grad: Tensor, saved: int) -> Tensor:
    """Puts every number back where it came from."""
    return pixel_shuffle(grad, saved)[0]
