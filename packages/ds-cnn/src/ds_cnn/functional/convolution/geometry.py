"""The geometry of a convolution: how its kernel moves over an image, and a canvas to move it on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ds_cnn.functional.windows import positions


@dataclass(frozen=True)
class Geometry:
    """Everything about a convolution but its numbers.

    Args:
        kernel: height and width of the kernel, in pixels.
        stride: step between positions, vertical and horizontal.
        padding: zeros added ((top, bottom), (left, right)); less than 0 where pixels are cut off.
        dilation: distance between the pixels that one position sees.
        groups: blocks of channels that do not see each other.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def output_size(self, size: Sequence[int]) -> tuple[int, int]:
        """Returns the positions of the kernel on an image (height, width); 0 or less if it does not fit."""
        height, width = (
            positions(pixels + sum(pad), k, s, 0, d)
            for pixels, pad, k, s, d in zip(
                size, self.padding, self.kernel, self.stride, self.dilation, strict=True
            )
        )
        return height, width

    def padded_size(self, size: Sequence[int]) -> tuple[int, int]:
        """Returns (height, width) of an image once it is padded."""
        return size[0] + sum(self.padding[0]), size[1] + sum(self.padding[1])

    @property
    def offset(self) -> tuple[int, int]:
        """Returns where the image begins in the padded one: (top, left)."""
        return self.padding[0][0], self.padding[1][0]


def canvas(image: Tensor, offset: tuple[int, int], size: tuple[int, int], value: float = 0.0) -> Tensor:
    """Places images on zeros, or another number; what would hang over an edge is cut off.

    Args:
        image: pixels last, ``(n, H, W, C)``, any strides.
        offset: row and column of the image's first pixel on the canvas; may be negative.
        size: height and width of the canvas.
        value: of its empty pixels.

    Returns:
        ``(n, *size, C)``; a view of the images if they cover the canvas.
    """
    n, height, width, channels = image.shape
    (top, left), (bottom, right) = offset, (offset[0] + height, offset[1] + width)
    seen = image[:, max(0, -top) : max(0, size[0] - top), max(0, -left) : max(0, size[1] - left)]
    if seen.shape[1:3] == size:
        return seen
    placed = image.new_full((n, *size, channels), value)
    placed[:, max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = seen
    return placed


def unpadded(padded: Tensor, geometry: Geometry, size: tuple[int, int]) -> Tensor:
    """Cuts the padding off again: ``(n, *padded size, C)`` -> ``(n, *size, C)``."""
    top, left = geometry.offset
    return canvas(padded, (-top, -left), size)


def pixels_last(x: Tensor) -> Tensor:
    """Views ``(N, C, H, W)`` as ``(N, H, W, C)``."""
    return x.permute(0, 2, 3, 1)


def channels_first(x: Tensor) -> Tensor:
    """Views ``(N, H, W, C)`` as ``(N, C, H, W)``: in torch's words, channels-last memory."""
    return x.permute(0, 3, 1, 2)
