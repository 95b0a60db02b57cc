"""Regions: which pixels of an image each number of the pooled one stands for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ds_cnn.functional.geometry import positions


@dataclass(frozen=True)
class Windows:
    """Windows of one size at regular distances.

    Args:
        kernel: height and width of a window, in pixels.
        stride: from one window to the next.
        padding: pixels around the image that windows may reach into, at each side.
        dilation: distance between the pixels of a window.
        ceil_mode: whether a last window may hang over the end.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    ceil_mode: bool = False

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Returns how many windows there are on an image of (height, width); 0 or less if none fits."""
        height, width = (
            positions(pixels, k, s, p, d, self.ceil_mode)
            for pixels, k, s, p, d in zip(
                size, self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        )
        return height, width

    def spans(self, dim: int, size: int) -> list[tuple[slice, int]]:
        """Returns, for each window along a dimension, its pixels and how many they are with padding."""
        k, s, p, d = self.kernel[dim], self.stride[dim], self.padding[dim], self.dilation[dim]
        spans = []
        for i in range(positions(size, k, s, p, d, self.ceil_mode)):
            start, end = i * s - p, i * s - p + d * (k - 1) + 1
            inside = start if start >= 0 else start % d  # the first of its pixels that is in the image
            spans.append((slice(inside, max(0, min(end, size)), d), min(end, size + p) - start))
        return spans

    def blind(self, size: tuple[int, int]) -> bool:
        """Says whether a window has no pixel of an image (height, width), all of them lying in its gaps."""
        return any(
            self.dilation[dim] > 1
            and any(not range(*span.indices(pixels)) for span, _ in self.spans(dim, pixels))
            for dim, pixels in enumerate(size)
        )


@dataclass(frozen=True)
class Bins:
    """As many regions as asked for, as equal as they can be; neighbours share a pixel where they must.

    Args:
        counts: regions along each dimension; None for as many as there are pixels.
    """

    counts: tuple[int | None, int | None]

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Returns how many regions there are on an image of (height, width)."""
        tall, wide = self.counts
        return size[0] if tall is None else tall, size[1] if wide is None else wide

    def spans(self, dim: int, size: int) -> list[tuple[slice, int]]:
        """Returns, for each region along a dimension, its pixels and how many they are."""
        count = self.output_size((size, size))[dim]
        ends = [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
        return [(slice(start, end), end - start) for start, end in ends]


# ---- one region after the other --------------------------------------------------------------------------


def each(x: Tensor, regions: Windows | Bins) -> Iterator[tuple[int, int, int, tuple[slice, slice], int]]:
    """Yields every channel's every region: channel, row, column, its pixels, and how many with padding.

    Args:
        x: ``(channels, H, W)``, of all images one after the other.
        regions: windows or bins.
    """
    for c in range(len(x)):
        for i, (rows, tall) in enumerate(regions.spans(0, x.shape[1])):
            for j, (columns, wide) in enumerate(regions.spans(1, x.shape[2])):
                yield c, i, j, (rows, columns), tall * wide


# ---- all regions at once ---------------------------------------------------------------------------------


def places(regions: Windows | Bins, x: Tensor) -> Tensor:
    """Returns where in its channel each pixel of each region is: ``(H', W', pixels)``.

    The pixel at (row, column) is at row times W plus column. Where there is no pixel, in a window that
    reaches over the edge or a bin smaller than the largest, it is -1.
    """
    rows = torch.tensor(_along(regions, 0, x.shape[-2]), device=x.device)[:, None, :, None]
    columns = torch.tensor(_along(regions, 1, x.shape[-1]), device=x.device)[None, :, None, :]
    place = torch.where(rows < 0, -1, torch.where(columns < 0, -1, rows * x.shape[-1] + columns))
    return place.flatten(2)


def _along(regions: Windows | Bins, dim: int, size: int) -> list[list[int]]:
    """Lists the pixels of each region along a dimension, all equally many: what is missing is -1."""
    lists = [list(range(*span.indices(size))) for span, _ in regions.spans(dim, size)]
    most = max(map(len, lists))
    return [pixels + [-1] * (most - len(pixels)) for pixels in lists]


def pixels(x: Tensor, place: Tensor, outside: float = 0.0) -> Tensor:
    """Lays out the pixels of each region: ``(..., H, W)`` -> ``(..., H', W', pixels)``.

    Args:
        x: the images.
        place: from :func:`places`.
        outside: stands where there is no pixel.
    """
    seen = x.flatten(-2).index_select(-1, place.clamp(min=0).flatten())
    return seen.unflatten(-1, place.shape).masked_fill(place < 0, outside)


def pixels_backward(grad: Tensor, place: Tensor, size: torch.Size) -> Tensor:
    """Adds up for each pixel what it got from every region: ``(..., H', W', pixels)`` -> ``size``."""
    given = grad.masked_fill(place < 0, 0.0).flatten(-3)
    flat = grad.new_zeros(*size[:-2], size[-2] * size[-1])
    return flat.index_add(-1, place.clamp(min=0).flatten(), given).view(size)


def counts(regions: Windows | Bins, x: Tensor, with_padding: bool) -> Tensor:
    """Returns how many pixels each region has: ``(H', W')``.

    Args:
        regions: windows or bins.
        x: ``(..., H, W)``.
        with_padding: whether the pixels of the padding count.
    """
    tall, wide = (
        [
            count if with_padding else len(range(*span.indices(size)))
            for span, count in regions.spans(dim, size)
        ]
        for dim, size in enumerate(x.shape[-2:])
    )
    rows, columns = (torch.tensor(numbers, dtype=x.dtype, device=x.device) for numbers in (tall, wide))
    return rows[:, None] * columns
