"""Regions: which pixels of an image each number of the pooled one stands for."""

from __future__ import annotations

from dataclasses import dataclass

from ds_cnn.functional.windows import positions


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

    def margins(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Returns the pixels (left, right, top, bottom) to add so that every window lies inside."""
        sides = []
        for dim, count in enumerate(self.output_size(size)):
            reach = (count - 1) * self.stride[dim] + self.dilation[dim] * (self.kernel[dim] - 1) + 1
            sides.append((self.padding[dim], max(0, reach - self.padding[dim] - size[dim])))
        return (*sides[1], *sides[0])

    def spans(self, dim: int, size: int) -> list[tuple[slice, int]]:
        """Returns, for each window along a dimension, its pixels and how many they are with padding."""
        k, s, p, d = self.kernel[dim], self.stride[dim], self.padding[dim], self.dilation[dim]
        spans = []
        for i in range(positions(size, k, s, p, d, self.ceil_mode)):
            start, end = i * s - p, i * s - p + d * (k - 1) + 1
            inside = start if start >= 0 else start % d  # the first of its pixels that is in the image
            spans.append((slice(inside, max(0, min(end, size)), d), min(end, size + p) - start))
        return spans


@dataclass(frozen=True)
class Bins:
    """As many regions as asked for, as equal as they can be; neighbours share a pixel where they must.

    Args:
        counts: regions along each dimension.
    """

    counts: tuple[int, int]

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Returns ``counts``."""
        return self.counts

    def spans(self, dim: int, size: int) -> list[tuple[slice, int]]:
        """Returns, for each region along a dimension, its pixels and how many they are."""
        count = self.counts[dim]
        ends = [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]
        return [(slice(start, end), end - start) for start, end in ends]
