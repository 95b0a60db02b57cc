"""The geometry of a convolution: how its kernel moves over an image, and what it sees there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def positions(
    size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1, ceil_mode: bool = False
) -> int:
    """Returns how many positions a kernel takes along a dimension; 0 or less if it does not fit.

    positions = floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1

    Args:
        size: of the input, in pixels.
        kernel: its size.
        stride: step between positions.
        padding: pixels added at each end.
        dilation: distance between the pixels that one position sees.
        ceil_mode: whether a last position may hang over the end, as long as it starts inside the input or
            the padding before it.
    """
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= size + padding else count


@dataclass(frozen=True)
class Geometry:
    """Everything about a convolution but its numbers.

    Args:
        kernel: height and width of the kernel, in pixels.
        stride: step between positions, vertical and horizontal.
        padding: zeros added ((top, bottom), (left, right)); less than 0 where pixels are cut off.
        dilation: distance between the pixels that one position sees.
        groups: blocks of channels that do not see each other.
        algorithm: by which a kernel for it computes; "auto" for the fastest. The formula knows only one way.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    algorithm: str = "auto"

    @property
    def span(self) -> tuple[int, int]:
        """Returns the pixels from the first to the last that one position sees: (height, width)."""
        return self.dilation[0] * (self.kernel[0] - 1) + 1, self.dilation[1] * (self.kernel[1] - 1) + 1

    def output_size(self, size: Sequence[int]) -> tuple[int, int]:
        """Returns the positions of the kernel on an image (height, width); 0 or less if it does not fit."""
        height, width = self.padded_size(size)
        return (
            positions(height, self.kernel[0], self.stride[0], 0, self.dilation[0]),
            positions(width, self.kernel[1], self.stride[1], 0, self.dilation[1]),
        )

    def padded_size(self, size: Sequence[int]) -> tuple[int, int]:
        """Returns (height, width) of an image once it is padded."""
        return size[0] + sum(self.padding[0]), size[1] + sum(self.padding[1])


# ---- what a kernel sees ----------------------------------------------------------------------------------


def window(o: int, i: int, j: int, weight: Tensor, geometry: Geometry) -> tuple[slice, slice, slice]:
    """Returns the channels, rows and columns of an image that kernel ``o`` sees at position (i, j)."""
    channels = weight.shape[1]
    first = o * geometry.groups // len(weight) * channels  # of the kernel's group
    rows, columns = (
        slice(p * s, p * s + span, d)
        for p, s, span, d in zip((i, j), geometry.stride, geometry.span, geometry.dilation, strict=True)
    )
    return slice(first, first + channels), rows, columns


def windows(x: Tensor, geometry: Geometry) -> Tensor:
    """Lays what each position sees into a row.

    Shape:
        x ``(N, C, H, W)`` -> ``(groups, N H' W', C / groups * kernel)``.
    """
    seen = see(pad_zeros(x, geometry), geometry).unflatten(1, (geometry.groups, -1))
    return seen.permute(1, 0, 3, 4, 2, 5, 6).flatten(4).flatten(1, 3)


def windows_backward(grad: Tensor, n: int, size: torch.Size | tuple[int, ...], geometry: Geometry) -> Tensor:
    """Adds up for each pixel the gradients of all its copies.

    Shape:
        grad ``(groups, N H' W', C / groups * kernel)`` -> ``(N, C, *size)``.
    """
    height, width = geometry.padded_size(size)
    pixels = torch.arange(height * width, device=grad.device)
    places = see(pixels.view(1, 1, height, width), geometry).flatten()  # where each number was copied from
    kernel = geometry.kernel[0] * geometry.kernel[1]
    channels, seen = grad.shape[2] // kernel, len(places) // kernel
    by_channel = grad.reshape(grad.shape[0], n, seen, channels, kernel).permute(1, 0, 3, 2, 4)
    flat = by_channel.reshape(n, grad.shape[0] * channels, len(places))  # (N, C, H' W' * kernel)
    padded = flat.new_zeros(*flat.shape[:2], height * width).index_add(2, places, flat)
    return cut_zeros(padded.unflatten(2, (height, width)), geometry)


def see(padded: Tensor, geometry: Geometry) -> Tensor:
    """Views what the kernel sees at each position: ``(N, C, H, W)`` -> ``(N, C, H', W', *kernel)``.

    seen[n, c, i, j, u, v] = padded[n, c, i stride + u dilation, j stride + v dilation]
    """
    (down, right), (tall, wide), (d, e) = geometry.stride, geometry.span, geometry.dilation
    return padded.unfold(2, tall, down).unfold(3, wide, right)[..., ::d, ::e]


def pad_zeros(x: Tensor, geometry: Geometry) -> Tensor:
    """Puts the padding around images: ``(N, C, H, W)`` -> ``(N, C, *padded size)``."""
    (top, bottom), (left, right) = geometry.padding
    return torch.constant_pad_nd(x, (left, right, top, bottom))


def cut_zeros(padded: Tensor, geometry: Geometry) -> Tensor:
    """Takes the padding off again."""
    (top, bottom), (left, right) = geometry.padding
    return torch.constant_pad_nd(padded, (-left, -right, -top, -bottom))


def kernels(weight: Tensor, geometry: Geometry) -> Tensor:
    """Views each kernel as a row, by group: ``(groups, O / groups, C / groups * kernel)``."""
    return weight.unflatten(0, (geometry.groups, -1)).flatten(2)


def positions_of(x: Tensor, geometry: Geometry) -> Tensor:
    """Lays the channels of each pixel into a row: ``(N, C, H, W)`` -> ``(groups, N H W, C / groups)``."""
    return x.unflatten(1, (geometry.groups, -1)).permute(1, 0, 3, 4, 2).flatten(1, 3)


def images(rows: Tensor, n: int, size: tuple[int, int]) -> Tensor:
    """Undoes :func:`positions_of`: ``(groups, N H W, C / groups)`` -> ``(N, C, H, W)``."""
    return rows.unflatten(1, (n, *size)).permute(1, 0, 4, 2, 3).flatten(1, 2)
