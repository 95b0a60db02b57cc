"""Images with pixels last: other views of them, and a canvas to place them on."""

from __future__ import annotations

from collections.abc import Sequence

from ds_core.kernels.scratch import scratch
from torch import Tensor

from ds_cnn.functional.geometry import Geometry


def pixels_last(x: Tensor) -> Tensor:
    """Views ``(N, C, H, W)`` as ``(N, H, W, C)``."""
    return x.permute(0, 2, 3, 1)


def channels_first(x: Tensor) -> Tensor:
    """Views ``(N, H, W, C)`` as ``(N, C, H, W)``: in torch's words, channels-last memory."""
    return x.permute(0, 3, 1, 2)


def canvas(
    image: Tensor,
    offset: tuple[int, int],
    size: tuple[int, int],
    value: float = 0.0,
    memory: str | None = None,
) -> Tensor:
    """Places images on zeros, or another number; what would hang over an edge is cut off.

    Args:
        image: pixels last, ``(n, H, W, C)``, any strides.
        offset: row and column of the image's first pixel on the canvas; may be negative.
        size: height and width of the canvas.
        value: of its empty pixels.
        memory: the name of memory used again and again, if the canvas is needed for a moment only.

    Returns:
        ``(n, *size, C)``; a view of the images if they cover the canvas.
    """
    (top, left), (bottom, right) = offset, (offset[0] + image.shape[1], offset[1] + image.shape[2])
    if top < 0 or left < 0 or bottom > size[0] or right > size[1]:
        image = image[:, max(0, -top) : max(0, size[0] - top), max(0, -left) : max(0, size[1] - left)]
    if image.shape[1:3] == size:
        return image
    shape = image.shape[0], *size, image.shape[3]
    placed = image.new_full(shape, value) if memory is None else scratch(memory, shape, image).fill_(value)
    placed[:, max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = image
    return placed


def windows(image: Tensor, geometry: Geometry) -> Tensor:
    """Views what a kernel sees at each of its positions on images that are padded already.

    Shape:
        ``(n, H, W, C)``, any strides -> ``(n, H', W', *kernel, C)``.
    """
    n, row, column, channel = image.stride()
    (down, right), (below, beside) = geometry.stride, geometry.dilation
    positions = [
        (pixels - span) // step + 1
        for pixels, span, step in zip(image.shape[1:3], geometry.span, geometry.stride, strict=True)
    ]
    return image.as_strided(
        (image.shape[0], *positions, *geometry.kernel, image.shape[3]),
        (n, down * row, right * column, below * row, beside * column, channel),
        image.storage_offset(),
    )


def shift(
    x: Tensor,
    u: int,
    v: int,
    size: Sequence[int],
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
) -> Tensor:
    """Views the one pixel (u, v) of every window.

    Shape:
        x ``(n, H, W, C)`` -> ``(n, *size, C)``, with as many windows as ``size`` says.
    """
    top, left = u * dilation[0], v * dilation[1]
    bottom, right = top + (size[0] - 1) * stride[0] + 1, left + (size[1] - 1) * stride[1] + 1
    return x[:, top : max(top, bottom) : stride[0], left : max(left, right) : stride[1]]
