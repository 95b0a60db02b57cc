"""Reading images at places of one's choice: at pixels, and between them."""

from __future__ import annotations

import torch
from torch import Tensor


def at_pixels(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Reads y[n, c, i, j] = x[n, c, rows[n, i, j], columns[n, i, j]].

    Args:
        images: x, ``(N, C, H, W)``.
        rows: whole numbers from 0 to H - 1, ``(N, h, w)`` once broadcast with ``columns``.
        columns: whole numbers from 0 to W - 1.

    Returns:
        ``(N, C, h, w)``.
    """
    n, channels, height, width = images.shape
    places = rows * width + columns  # (N, h, w), counted along the rows
    index = places.flatten(1).unsqueeze(1).expand(n, channels, places.shape[1:].numel())
    pixels = images.reshape(n, channels, height * width).gather(2, index)
    return pixels.view(n, channels, *places.shape[1:])


def at_points(images: Tensor, y: Tensor, x: Tensor, interpolation: str, fill: Tensor) -> Tensor:
    """Reads images between their pixels; the middle of pixel (i, j) is the point y = i, x = j.

    "nearest" takes the nearest pixel. "bilinear" weighs the four around the point, each by the area of the
    rectangle between the point and the pixel opposite: (1 - |y - i|) (1 - |x - j|). Around the image lies
    ``fill``.

    Args:
        images: ``(N, C, H, W)``.
        y: ``(N, h, w)``, of a type that tells the places between pixels apart.
        x: ``(N, h, w)``.
        interpolation: "nearest" or "bilinear".
        fill: ``(C or 1, 1, 1)``.

    Returns:
        ``(N, C, h, w)``.
    """
    height, width = images.shape[2:]
    if interpolation == "nearest":
        rows, columns = y.round().long(), x.round().long()
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        pixels = at_pixels(images, rows.clamp(0, height - 1), columns.clamp(0, width - 1))
        return torch.where(inside.unsqueeze(1), pixels, fill)
    top, left = y.floor(), x.floor()
    total = torch.zeros((), dtype=y.dtype, device=images.device)
    covered = torch.zeros_like(y)  # the share of each point that pixels make up; the rest is fill
    for rows in (top, top + 1):
        for columns in (left, left + 1):
            inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
            weight = (1 - (y - rows).abs()) * (1 - (x - columns).abs()) * inside  # (N, h, w)
            pixels = at_pixels(images, rows.long().clamp(0, height - 1), columns.long().clamp(0, width - 1))
            total = total + weight.unsqueeze(1) * pixels
            covered = covered + weight
    return (total + (1 - covered).unsqueeze(1) * fill).to(images.dtype)
