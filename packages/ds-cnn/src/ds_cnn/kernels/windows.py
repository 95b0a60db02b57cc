"""Windows on a processor: one pixel of all of them at a time, on images with pixels last."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from ds_core.kernels.elementary import BLOCK, parts
from torch import Tensor

from ds_cnn.functional.regions import Windows
from ds_cnn.kernels.images import canvas, pixels_last, shift


def batched(x: Tensor) -> Tensor:
    """Views ``(..., H, W)`` as ``(N, C, H, W)``."""
    return x if x.dim() == 4 else x.reshape(1, math.prod(x.shape[:-2]), *x.shape[-2:])


def image_parts(shape: torch.Size) -> list[slice]:
    """Cuts a batch (N, C, H, W) into blocks of images that stay in the cache."""
    return parts(shape[0], math.prod(shape[1:]), 2 * BLOCK)


def padded_images(x: Tensor, windows: Windows, value: float = 0.0) -> Tensor:
    """Places images ``(N, C, H, W)`` on the padding and on what windows hang over: ``(N, H', W', C)``."""
    return canvas(pixels_last(x), windows.padding, padded_size(windows, x.shape), value)


def padded_size(windows: Windows, shape: torch.Size) -> tuple[int, int]:
    """Returns height and width of what lies under all windows of images (N, C, H, W)."""
    size = shape[2], shape[3]
    height, width = (
        max((count - 1) * s + d * (k - 1) + 1, p + pixels)
        for count, s, d, k, p, pixels in zip(
            *(windows.output_size(size), windows.stride, windows.dilation, windows.kernel, windows.padding),
            size,
            strict=True,
        )
    )
    return height, width


def unpadded(padded: Tensor, windows: Windows, shape: torch.Size) -> Tensor:
    """Cuts the padding off again: ``(N, H', W', C)`` -> the images' own pixels, still last."""
    top, left = windows.padding
    return canvas(padded, (-top, -left), (shape[2], shape[3]))


def window_pixels(padded: Tensor, windows: Windows, size: tuple[int, int]) -> Iterator[tuple[int, Tensor]]:
    """Yields, for each pixel of a window, its number (the last is 1) and what it sees of all windows."""
    height, width = windows.kernel
    for u in range(height):
        for v in range(width):
            seen = shift(padded, u, v, size, windows.stride, windows.dilation)
            yield height * width - (u * width + v), seen
