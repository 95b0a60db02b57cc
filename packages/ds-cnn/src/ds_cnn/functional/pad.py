"""Padding: pixels added around images, or cut off."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Saved(NamedTuple):
    """What the backward needs."""

    size: tuple[int, int]  # height and width of x
    padding: tuple[int, int, int, int]
    mode: str


def pad(
    x: Tensor, padding: tuple[int, int, int, int], mode: str = "zeros", value: float = 0.0
) -> tuple[Tensor, Saved]:
    """Adds pixels around images.

    y[i, j] = x[source(i - top), source(j - left)], where source leads a position outside back inside: to its
    mirror image (reflect), to the nearest edge (replicate), or to the other side (circular). With "zeros",
    what lies outside is ``value``.

    Args:
        x: ``(..., H, W)``.
        padding: pixels (left, right, top, bottom); less than 0 cuts off, with "zeros" only.
        mode: "zeros", "reflect", "replicate" or "circular".
        value: with "zeros", what the new pixels hold.

    Returns:
        y ``(..., top + H + bottom, left + W + right)``.
    """
    left, right, top, bottom = padding
    size = x.shape[-2], x.shape[-1]
    if mode == "zeros":
        y = torch.constant_pad_nd(x, padding, value)
    else:
        y = x.index_select(-2, sources(size[0], top, bottom, mode, x))
        y = y.index_select(-1, sources(size[1], left, right, mode, x))
    return y, Saved(size, padding, mode)


def pad_backward(grad: Tensor, saved: Saved) -> Tensor:
    """Lets each pixel collect from all the places it was copied to.

    dL/dx[source(i - top), source(j - left)] += dL/dy[i, j]
    """
    (height, width), (left, right, top, bottom), mode = saved
    if mode == "zeros":
        return torch.constant_pad_nd(grad, (-left, -right, -top, -bottom))
    rows, columns = sources(height, top, bottom, mode, grad), sources(width, left, right, mode, grad)
    by_row = grad.new_zeros(*grad.shape[:-1], width).index_add(-1, columns, grad)  # columns of x
    return grad.new_zeros(*grad.shape[:-2], height, width).index_add(-2, rows, by_row)  # rows of x


def sources(size: int, before: int, after: int, mode: str, like: Tensor) -> Tensor:
    """Returns, for every position of a padded dimension, the position it is copied from."""
    positions = torch.arange(-before, size + after, device=like.device)
    if mode == "replicate":
        return positions.clamp(0, size - 1)
    if mode == "circular":
        return positions.remainder(size)
    mirrored = positions.abs()
    return torch.minimum(mirrored, 2 * (size - 1) - mirrored)
