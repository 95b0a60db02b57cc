"""crop: a window cut out of every image, each at a place of its own, and what lies beyond the edges."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_cnn.transforms.sample import at_pixels

MODES = ("constant", "edge", "reflect", "symmetric")


def crop(images: Tensor, top: Tensor, left: Tensor, size: tuple[int, int], mode: str, fill: Tensor) -> Tensor:
    """Cuts windows that may reach beyond the images.

    Beyond the edges lies ``fill`` ("constant"), the pixel at the edge ("edge"), or the image mirrored,
    without its edge ("reflect": c b | a b c) or with it ("symmetric": b a | a b c).

    Args:
        images: ``(N, C, H, W)``.
        top: the first row of each window, ``(N,)``; may be less than 0.
        left: its first column, ``(N,)``.
        size: (height, width) of the windows.
        mode: one of these.
        fill: ``(C or 1, 1, 1)``.

    Returns:
        ``(N, C, height, width)``.
    """
    rows, row_inside = _source(top, size[0], images.shape[2], mode)  # (N, h)
    columns, column_inside = _source(left, size[1], images.shape[3], mode)  # (N, w)
    windows = at_pixels(images, rows.unsqueeze(2), columns.unsqueeze(1))  # (N, C, h, w)
    if mode != "constant":
        return windows
    inside = row_inside.unsqueeze(2) & column_inside.unsqueeze(1)  # (N, h, w)
    return torch.where(inside.unsqueeze(1), windows, fill)


def _source(first: Tensor, length: int, size: int, mode: str) -> tuple[Tensor, Tensor]:
    """Returns where each position of a window is read from, and whether it lies inside the image."""
    places = first.unsqueeze(1) + torch.arange(length, device=first.device)  # (N, length)
    inside = (places >= 0) & (places < size)
    if mode == "reflect":
        places = places.abs()
        places = torch.minimum(places, 2 * (size - 1) - places)
    elif mode == "symmetric":
        places = torch.maximum(places, -1 - places)
        places = torch.minimum(places, 2 * size - 1 - places)
    return places.clamp(0, size - 1), inside
