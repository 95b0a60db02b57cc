"""Padding: pixels added around images, or cut off, and the gradient that flows back through them."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_cnn.functional.convolution.geometry import canvas, channels_first, pixels_last

MODES = ("zeros", "reflect", "replicate", "circular")


def pad(
    x: Tensor, padding: tuple[int, int, int, int], mode: str = "zeros", value: float = 0.0, name: str = "pad"
) -> Tensor:
    """Adds pixels around images.

    y[i, j] = x[source(i - top), source(j - left)], where source leads a position outside back inside: to its
    mirror image (reflect), to the nearest edge (replicate), or to the other side (circular). With "zeros",
    what lies outside is ``value``.

    Args:
        x: ``(N, C, H, W)``.
        padding: pixels (left, right, top, bottom); less than 0 cuts off, with "zeros" only.
        mode: "zeros", "reflect", "replicate" or "circular".
        value: with "zeros", what the new pixels hold.
        name: who asks, for error messages.

    Returns:
        ``(N, C, top + H + bottom, left + W + right)``, in channels-last memory.

    Raises:
        ValueError: if nothing would be left, or there are too few pixels to mirror or to repeat.
    """
    left, right, top, bottom = padding
    size = top + x.shape[2] + bottom, left + x.shape[3] + right
    if min(size) < 1:
        raise ValueError(
            f"{name}: expected images from which padding {padding} leaves something, got {tuple(x.shape)}"
        )
    images = pixels_last(x)
    if mode == "zeros":
        return channels_first(canvas(images, (top, left), size, value))
    rows = _sources(x.shape[2], top, bottom, mode, name).to(x.device)
    columns = _sources(x.shape[3], left, right, mode, name).to(x.device)
    return channels_first(images.index_select(1, rows).index_select(2, columns))


def pad_backward(grad: Tensor, padding: tuple[int, int, int, int], mode: str = "zeros") -> Tensor:
    """Returns the gradient of the images: each pixel collects from all the places it was copied to.

    dL/dx[source(i - top), source(j - left)] += dL/dy[i, j]

    Args:
        grad: dL/dy, as :func:`pad` returned y.
        padding: as in the forward.
        mode: as in the forward.
    """
    left, right, top, bottom = padding
    height, width = grad.shape[2] - top - bottom, grad.shape[3] - left - right
    grads = pixels_last(grad)
    if mode == "zeros":
        return channels_first(canvas(grads, (-top, -left), (height, width)))
    rows = _sources(height, top, bottom, mode).to(grad.device)
    columns = _sources(width, left, right, mode).to(grad.device)
    n, _, _, channels = grads.shape
    by_row = grads.new_zeros(n, height, grad.shape[3], channels).index_add_(1, rows, grads)
    return channels_first(grads.new_zeros(n, height, width, channels).index_add_(2, columns, by_row))


def _sources(size: int, before: int, after: int, mode: str, name: str = "pad") -> Tensor:
    """Returns, for every position of a padded dimension, the position it is copied from."""
    most = {"reflect": size - 1, "circular": size, "replicate": max(before, after)}[mode]
    if min(before, after) < 0 or max(before, after) > most or size < 1:
        raise ValueError(
            f"{name}: expected from 0 to {max(0, most)} pixels of padding for a dimension of {size} with "
            f"padding_mode={mode!r}, got {before} and {after}"
        )
    positions = torch.arange(-before, size + after)
    if mode == "replicate":
        return positions.clamp(0, size - 1)
    if mode == "circular":
        return positions.remainder(size)
    mirrored = positions.abs()
    return torch.minimum(mirrored, 2 * (size - 1) - mirrored)
