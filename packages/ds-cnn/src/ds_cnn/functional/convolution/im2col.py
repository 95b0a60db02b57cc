"""Convolution by im2col: lay what each position sees into the row of a matrix, then multiply once."""

from __future__ import annotations

import math

from torch import Tensor

from ds_cnn.functional.convolution.geometry import Geometry, canvas, channels_first, unpadded
from ds_cnn.functional.convolution.method import Method
from ds_cnn.functional.windows import window_offset, windows


class Im2col(Method):
    """One row per position, one column per (u, v, c) of the kernel: a convolution is then one matrix product.

    columns = what every position sees,   y = columns kernel

    dL/dkernel = columns^T dL/dy,   dL/dcolumns = dL/dy kernel^T, which every pixel then collects from all the
    rows into which it was copied.

    With g groups there are g such products side by side.

    Source: Chellapilla, Puri, Simard, High Performance Convolutional Neural Networks for Document Processing
    (2006), section 2.
    """

    def numbers_per_image(self, geometry: Geometry, channels: int, size: tuple[int, int]) -> int:
        if geometry.kernel == (1, 1) and geometry.stride == (1, 1):
            return 0
        return math.prod(geometry.output_size(size)) * math.prod(geometry.kernel) * channels

    def kernel(self, weight: Tensor, geometry: Geometry) -> Tensor:
        per_group = weight.unflatten(0, (geometry.groups, -1))  # (g, O / g, C / g, *kernel)
        return per_group.permute(0, 3, 4, 2, 1).flatten(1, 3)  # (g, kernel * C / g, O / g)

    def forward(self, x: Tensor, kernel: Tensor, geometry: Geometry) -> Tensor:
        columns = self._columns(x, geometry)  # (g, positions, kernel * C / g)
        y = _side_by_side(columns @ kernel)  # (positions, O)
        return y.view(len(x), *geometry.output_size(x.shape[1:3]), -1)

    def backward_input(
        self, grad: Tensor, kernel: Tensor, geometry: Geometry, size: tuple[int, int]
    ) -> Tensor:
        columns = _side_by_side(_by_group(grad, geometry.groups) @ kernel.mT, math.prod(geometry.kernel))
        return collect(columns.view(*grad.shape[:3], *geometry.kernel, -1), geometry, size)

    def backward_kernel(self, grad: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
        return self._columns(x, geometry).mT @ _by_group(grad, geometry.groups)

    def kernel_backward(self, kernel_grad: Tensor, geometry: Geometry) -> Tensor:
        per_group = kernel_grad.unflatten(1, (*geometry.kernel, -1))  # (g, *kernel, C / g, O / g)
        return per_group.permute(0, 4, 3, 1, 2).flatten(0, 1)

    def _columns(self, x: Tensor, geometry: Geometry) -> Tensor:
        """Lays out what every position sees, as (g, positions, kernel * C / g)."""
        padded = canvas(x, geometry.offset, geometry.padded_size(x.shape[1:3]))
        seen = windows(channels_first(padded), geometry.kernel, geometry.stride, geometry.dilation)
        seen = seen.permute(0, 2, 3, 4, 5, 1)  # (n, height, width, *kernel, C)
        seen = seen.unflatten(-1, (geometry.groups, -1)).movedim(-2, 0)
        return seen.reshape(geometry.groups, math.prod(seen.shape[1:4]), math.prod(seen.shape[4:]))


def collect(columns: Tensor, geometry: Geometry, size: tuple[int, int]) -> Tensor:
    """Adds up what every pixel got back from all the windows it was in: the transpose of laying them out.

    Shape:
        columns ``(n, height, width, *kernel, C)`` -> ``(n, *size, C)``.
    """
    n, height, width, kernel_height, kernel_width, channels = columns.shape
    padded = columns.new_zeros(n, *geometry.padded_size(size), channels)
    for u in range(kernel_height):
        for v in range(kernel_width):
            seen = window_offset(
                channels_first(padded), u, v, (height, width), geometry.stride, geometry.dilation
            )
            seen += channels_first(columns[:, :, :, u, v])
    return unpadded(padded, geometry, size)


def _by_group(grad: Tensor, groups: int) -> Tensor:
    """Views (n, height, width, O) as (g, positions, O / g)."""
    return grad.reshape(math.prod(grad.shape[:3]), groups, -1).transpose(0, 1)


def _side_by_side(product: Tensor, pixels: int = 1) -> Tensor:
    """Puts the groups of (g, positions, pixels * C / g) back into one row: (positions, pixels * C)."""
    by_pixel = product.unflatten(2, (pixels, -1))  # (g, positions, pixels, C / g)
    return by_pixel.permute(1, 2, 0, 3).flatten(1)
