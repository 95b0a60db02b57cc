"""Pooling by loops: the definition, region by region. Slow; read it first.

What a region is pooled to, and the gradient of that, is all in which kinds of pooling differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from ds_cnn.functional.pooling.regions import Bins, Windows


class Kind(Protocol):
    """One kind of pooling."""

    def value(self, region: Tensor, count: int) -> Tensor:
        """Returns the number that stands for a region ``(h, w)`` of ``count`` pixels with padding."""

    def gradient(self, region: Tensor, count: int) -> Tensor:
        """Returns the derivative of that number by each pixel ``(h, w)``."""


def pool(x: Tensor, regions: Windows | Bins, kind: Kind) -> Tensor:
    """Sums up every region in one number.

    y[n, c, i, j] = value(region (i, j) of image n, channel c)

    Shape:
        x ``(N, C, H, W)`` -> ``(N, C, H', W')``.
    """
    n, channels, height, width = x.shape
    y = x.new_zeros(n, channels, *regions.output_size((height, width)))
    for image, channel, i, j, region, count in _each(x, regions):
        y[image, channel, i, j] = kind.value(x[image, channel][region], count)
    return y


def pool_backward(grad: Tensor, x: Tensor, regions: Windows | Bins, kind: Kind) -> Tensor:
    """Hands the gradient of every number to the pixels it came from.

    dL/dx[region (i, j)] += dL/dy[i, j] * (dvalue / dregion)

    Shape:
        grad ``(N, C, H', W')``, x ``(N, C, H, W)`` -> ``(N, C, H, W)``.
    """
    grad_x = torch.zeros_like(x)
    for image, channel, i, j, region, count in _each(x, regions):
        share = kind.gradient(x[image, channel][region], count)
        grad_x[image, channel][region] += grad[image, channel, i, j] * share
    return grad_x


def _each(
    x: Tensor, regions: Windows | Bins
) -> Iterator[tuple[int, int, int, int, tuple[slice, slice], int]]:
    """Yields image, channel, row and column of the result, its pixels, and how many with padding."""
    for n in range(len(x)):
        for c in range(x.shape[1]):
            for i, (rows, tall) in enumerate(regions.spans(0, x.shape[2])):
                for j, (columns, wide) in enumerate(regions.spans(1, x.shape[3])):
                    yield n, c, i, j, (rows, columns), tall * wide


class Maximum:
    """The largest pixel, the first of equals; it alone gets the gradient."""

    def value(self, region: Tensor, count: int) -> Tensor:
        return region.flatten()[region.flatten().argmax()]

    def gradient(self, region: Tensor, count: int) -> Tensor:
        winner = torch.zeros_like(region).flatten()
        winner[region.flatten().argmax()] = 1
        return winner.view(region.shape)


class Average:
    """The mean; every pixel gets an equal share of the gradient.

    Args:
        count_include_pad: whether the pixels of the padding count.
        divisor: to divide by, instead of the number of pixels.
    """

    def __init__(self, count_include_pad: bool = True, divisor: int | None = None) -> None:
        self.count_include_pad = count_include_pad
        self.divisor = divisor

    def _divisor(self, region: Tensor, count: int) -> int:
        return self.divisor or (count if self.count_include_pad else region.numel())

    def value(self, region: Tensor, count: int) -> Tensor:
        return region.sum() / self._divisor(region, count)

    def gradient(self, region: Tensor, count: int) -> Tensor:
        return torch.full_like(region, 1 / self._divisor(region, count))


class Norm:
    """(sum of x^p)^(1/p): the sum for p = 1, the maximum for p to infinity.

    Args:
        p: the power.
        count: pixels in a whole window.
    """

    def __init__(self, p: float, count: int) -> None:
        self.p = p
        self.count = count

    def value(self, region: Tensor, count: int) -> Tensor:
        # A window that hangs over the end is scaled up to a whole one.
        return ((region**self.p).sum() * (self.count / count)) ** (1 / self.p)

    def gradient(self, region: Tensor, count: int) -> Tensor:
        y = self.value(region, count)
        if y == 0:
            return torch.zeros_like(region)
        return (self.count / count) * region ** (self.p - 1) * y ** (1 - self.p)
