"""Convolution by im2col: lay what each position sees into the row of a matrix, then multiply once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ds_core.kernels import matmul
from ds_core.kernels.scratch import scratch
from torch import Tensor

from ds_cnn.functional.geometry import Geometry
from ds_cnn.kernels.convolution.algorithm import (
    BETWEEN,
    VECTOR,
    Algorithm,
    Passes,
    Work,
    grouped,
    moved,
    multiplied,
    multiply_into,
    product,
)
from ds_cnn.kernels.images import canvas, channels_first, pixels_last, windows

NARROW = 16  # numbers of a row of the kernel; fewer are not worth a copy of their own


class Im2col(Algorithm):
    """One row per position, one column per (u, v, c) of the kernel: a convolution is then one matrix product.

    columns = what every position sees,   y = columns weight

    dL/dweight = columns^T dL/dy,   dL/dcolumns = dL/dy weight^T, which every pixel then collects from all
    the rows into which it was copied.

    With g groups there are g such products side by side.

    Source: Chellapilla, Puri, Simard, High Performance Convolutional Neural Networks for Document Processing
    (2006), section 2.
    """

    def workspace(self, geometry: Geometry, channels: int, size: tuple[int, int]) -> int:
        if geometry.kernel == (1, 1) and geometry.stride == (1, 1):
            return 0
        return math.prod(geometry.output_size(size)) * math.prod(geometry.kernel) * channels

    def work(self, geometry: Geometry, shape: Sequence[int], kernels: int) -> Passes:
        products, laid, columns = self._parts(geometry, shape, kernels)
        forward, collected = products + laid + Work(calls=4), Work(calls=4)
        if not _one_window(geometry.output_size(shape[2:]), geometry):
            by_row = narrow(geometry, shape[1]) and geometry.dilation == (1, 1)
            runs = geometry.stride if by_row else _runs(geometry, shape[1])
            sums = math.prod(math.ceil(k / run) for k, run in zip(geometry.kernel, runs, strict=True))
            added = moved(columns, VECTOR if by_row else shape[1])
            collected = added * 2 + Work(numbers=columns, calls=4 + sums)
        return Passes(forward, forward, products + collected)

    def _parts(self, geometry: Geometry, shape: Sequence[int], kernels: int) -> tuple[Work, Work, int]:
        """Estimates one pass's products, the laying out of the columns, and how many numbers they have."""
        n, channels, *size = shape
        positions, pixels = n * math.prod(geometry.output_size(size)), math.prod(geometry.kernel)
        groups = geometry.groups
        inside = channels // groups
        columns = positions * pixels * channels
        run = VECTOR if narrow(geometry, channels) else inside * (geometry.kernel[1] if groups == 1 else 1)
        laid = moved(columns, run) if self.workspace(geometry, channels, (size[0], size[1])) else Work()
        return multiplied(positions, pixels * inside, kernels // groups) * groups, laid, columns

    def pack(self, weight: Tensor, geometry: Geometry) -> Tensor:
        kernels, channels = weight.shape[:2]
        per_group = geometry.groups, kernels // geometry.groups, channels * math.prod(geometry.kernel)
        laid = _laid(weight.permute(0, 2, 3, 1), per_group, "convolution: kernels")
        return laid.mT  # (g, kernel * C / g, O / g)

    def lay(self, x: Tensor, geometry: Geometry) -> Any:
        return _columns(x, geometry)  # (g, positions, kernel * C / g)

    def forward(self, laid: Any, packed: Tensor, geometry: Geometry, out: Tensor) -> None:
        multiply_into(out, laid, packed)

    def backward_input(self, grad: Tensor, packed: Tensor, geometry: Geometry, out: Tensor) -> None:
        if narrow(geometry, out.shape[3]) and geometry.dilation == (1, 1):
            by_pixel = product(packed, grouped(grad, 1).mT)  # (1, kernel * C, positions)
            _collect_rows(by_pixel.view(*geometry.kernel, -1, *grad.shape[:3]), geometry, out)
            return
        given = grouped(grad, geometry.groups)
        one = _one_window((grad.shape[1], grad.shape[2]), geometry) and geometry.groups == 1
        if one and out.shape[1:3] == geometry.kernel and geometry.padding == ((0, 0), (0, 0)):
            multiply_into(out.view(out.shape[0], 1, 1, -1), given, packed.mT)  # all of the image
            return
        shape = *given.shape[:2], packed.shape[1]
        by_group = matmul.bmm(given, packed.mT, out=scratch("convolution: patches", shape, given))
        columns = _side_by_side(by_group, math.prod(geometry.kernel))
        _collect(columns.view(*grad.shape[:3], *geometry.kernel, -1), geometry, out)

    def backward_weight(
        self, grad: Tensor, laid: Any, geometry: Geometry, total: Tensor | None = None
    ) -> Tensor:
        given = grouped(grad, geometry.groups)
        if laid.stride(2) > 1:  # they lie column by column
            return product(laid.mT, given, None if total is None else total.mT).mT
        return product(given.mT, laid, total)  # (g, O / g, kernel * C / g)

    def unpack_grad(self, grad_packed: Tensor, geometry: Geometry) -> Tensor:
        groups, kernels, numbers = grad_packed.shape
        channels = numbers // math.prod(geometry.kernel)
        return grad_packed.reshape(groups * kernels, *geometry.kernel, channels).permute(0, 3, 1, 2)


def _columns(x: Tensor, geometry: Geometry) -> Tensor:
    """Lays out what every position sees, as (g, positions, kernel * C / g).

    A row of the kernel lies side by side in memory and is copied at once. Where that is only a few numbers,
    each pixel of the kernel is taken from whole rows of the images instead: columns, one after another.
    """
    (top, _), (left, _) = geometry.padding
    size = geometry.padded_size(x.shape[1:3])
    padded = canvas(x, (top, left), size, memory=BETWEEN)
    if narrow(geometry, x.shape[3]):
        by_row = pixels_last(channels_first(padded).contiguous())
        seen = windows(by_row, geometry).permute(3, 4, 5, 0, 1, 2)  # (*kernel, C, n, H', W')
        return _laid(seen, (1, math.prod(seen.shape[:3]), math.prod(seen.shape[3:]))).mT
    seen, groups = windows(padded, geometry), geometry.groups  # (n, H', W', *kernel, C)
    shape = groups, math.prod(seen.shape[:3]), math.prod(seen.shape[3:]) // groups
    return _laid(seen if groups == 1 else seen.unflatten(-1, (groups, -1)).movedim(-2, 0), shape)


def _laid(x: Tensor, shape: tuple[int, ...], memory: str = "convolution: patches") -> Tensor:
    """Returns x in a shape, a view of it if it lies so, else in memory of that name."""
    if x.is_contiguous():
        return x.view(shape)
    laid = scratch(memory, shape, x)
    laid.view(x.shape).copy_(x)
    return laid


def narrow(geometry: Geometry, channels: int) -> bool:
    """Says whether a row of the kernel has so few numbers that whole rows of the images are copied."""
    return geometry.groups == 1 and geometry.kernel[1] * channels < NARROW


def _collect(columns: Tensor, geometry: Geometry, out: Tensor) -> None:
    """Adds up what every pixel got back from all the windows it was in: the transpose of laying them out.

    Shape:
        columns ``(n, H', W', *kernel, C)``, out ``(n, H, W, C)``.
    """
    n, height, width, kernel_height, kernel_width, channels = columns.shape
    ((top, _), (left, _)), size = geometry.padding, (out.shape[1], out.shape[2])
    if _one_window((height, width), geometry):
        out.copy_(canvas(columns[:, 0, 0], (-top, -left), size))
        return
    padded = scratch(BETWEEN, (n, *geometry.padded_size(size), channels), columns).fill_(0)
    seen = windows(padded, geometry)
    down, right = _runs(geometry, channels)
    for u in range(0, kernel_height, down):
        for v in range(0, kernel_width, right):
            some = ..., slice(u, u + down), slice(v, v + right), slice(None)
            seen[some].add_(columns[some])
    out.copy_(canvas(padded, (-top, -left), size))


def _collect_rows(columns: Tensor, geometry: Geometry, out: Tensor) -> None:
    """Does the same with columns that lie one after another, row by row of the positions.

    Where windows are s pixels apart, pixels that are a multiple of s apart are collected in an image of their
    own, in which windows are one pixel apart: whole rows are added to whole rows.

    Shape:
        columns ``(*kernel, C, n, H', W')``, out ``(n, H, W, C)``.
    """
    (down, right), (kernel_height, kernel_width) = geometry.stride, geometry.kernel
    channels, n, height, width = columns.shape[2:]
    over, across = (kernel_height - 1) // down, (kernel_width - 1) // right
    images = columns.new_zeros(down, right, channels, n, height + over, width + across)
    for a in range(over + 1):
        for b in range(across + 1):
            some = columns[a * down : (a + 1) * down, b * right : (b + 1) * right]
            part = images[: some.shape[0], : some.shape[1], ..., a : a + height, b : b + width]
            part += some
    (top, _), (left, _) = geometry.padding
    padded = images.permute(3, 4, 0, 5, 1, 2).flatten(3, 4).flatten(1, 2)
    out.copy_(canvas(padded, (-top, -left), (out.shape[1], out.shape[2])))


def _one_window(positions: tuple[int, int], geometry: Geometry) -> bool:
    """Says whether there is one window, whose pixels lie side by side: then there is nothing to add up."""
    return positions == (1, 1) and geometry.dilation == (1, 1)


def _runs(geometry: Geometry, channels: int) -> tuple[int, int]:
    """Returns how many pixels of a window, down and across, are added at once: no two windows share them."""
    return geometry.stride if geometry.dilation == (1, 1) and channels >= VECTOR else (1, 1)


def _side_by_side(by_group: Tensor, pixels: int) -> Tensor:
    """Puts the groups of (g, positions, pixels * C / g) back into one row: (positions, pixels * C)."""
    if len(by_group) == 1:
        return by_group[0]
    by_pixel = by_group.unflatten(2, (pixels, -1))  # (g, positions, pixels, C / g)
    return by_pixel.permute(1, 2, 0, 3).flatten(1)
