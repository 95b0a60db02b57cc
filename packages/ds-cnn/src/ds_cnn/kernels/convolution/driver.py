"""Convolution and its two gradients by any algorithm, a block of a batch, or of an image, at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from ds_core.kernels.elementary import parts as cut
from torch import Tensor

from ds_cnn.functional.geometry import Geometry
from ds_cnn.kernels.convolution.algorithm import Algorithm, divided
from ds_cnn.kernels.images import channels_first, pixels_last

# A batch is worked on in blocks of images for which an algorithm lays out about this many numbers: those stay
# in the cache from one step to the next, and the memory needed does not grow with the batch. Of an image for
# which it lays out more, some rows of positions are taken at a time, a multiple of a tile's height.
BLOCK, ROWS = 600_000, 4


@dataclass(frozen=True)
class Block:
    """Some images, some rows of their positions, and the rows of pixels that those see."""

    images: slice
    rows: slice
    seen: slice
    geometry: Geometry  # on those pixels
    whole: bool = False  # whether there is no other

    def positions(self, y: Tensor) -> Tensor:
        """Views its positions in a batch's, ``(N, H', W', O)``."""
        return y if self.whole else y[self.images, self.rows]

    def pixels(self, x: Tensor) -> Tensor:
        """Views its pixels in a batch's, ``(N, H, W, C)``."""
        return x if self.whole else x[self.images, self.seen]


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, algorithm: Algorithm
) -> Tensor:
    """Returns y ``(N, O, H', W')``, in channels-last memory; arguments as of the formula."""
    packed, size, pixels = algorithm.pack(weight, geometry), geometry.output_size(x.shape[2:]), pixels_last(x)
    y = pixels.new_empty(x.shape[0], *size, weight.shape[0])
    for block in blocks(algorithm, geometry, x.shape, packed.numel()):
        part = block.positions(y)
        laid = algorithm.lay(block.pixels(pixels), block.geometry)
        algorithm.forward(laid, packed, block.geometry, part)
        if bias is not None:
            part += bias
    return channels_first(y)


def convolve_backward_input(
    grad: Tensor, weight: Tensor, geometry: Geometry, size: tuple[int, int], algorithm: Algorithm
) -> Tensor:
    """Returns dL/dx ``(N, C, *size)``, in channels-last memory, from dL/dy ``(N, O, H', W')``."""
    packed, given = algorithm.pack_for_input(weight, geometry), pixels_last(grad)
    shape = (grad.shape[0], weight.shape[1] * geometry.groups, *size)
    parts = blocks(algorithm, geometry, shape, packed.numel())
    whole = all(block.rows == slice(0, given.shape[1]) for block in parts)
    grad_x = (given.new_empty if whole else given.new_zeros)(shape[0], *size, shape[1])
    for block in parts:
        seen = block.pixels(grad_x)
        if not seen.shape[1]:  # nothing but padding
            continue
        share = seen if whole else torch.empty_like(seen, memory_format=torch.contiguous_format)
        algorithm.backward_input(block.positions(given), packed, block.geometry, share)
        if not whole:
            seen += share  # neighbours see some of the same pixels
    return channels_first(grad_x)


def convolve_backward_weight(grad: Tensor, x: Tensor, geometry: Geometry, algorithm: Algorithm) -> Tensor:
    """Returns dL/dweight ``(O, C / groups, *kernel)``, contiguous, from dL/dy ``(N, O, H', W')``."""
    shape, total = (grad.shape[1], x.shape[1] // geometry.groups, *geometry.kernel), None
    given, pixels = pixels_last(grad), pixels_last(x)
    for block in blocks(algorithm, geometry, x.shape, math.prod(shape)):
        laid = algorithm.lay(block.pixels(pixels), block.geometry)
        total = algorithm.backward_weight(block.positions(given), laid, block.geometry, total)
    if total is None:  # no image at all
        return grad.new_zeros(shape)
    return algorithm.unpack_grad(total, geometry).contiguous()


def convolve_and_backward_weight(
    x: Tensor,
    weight: Tensor,
    grad: Tensor,
    geometry: Geometry,
    forward: Algorithm,
    algorithm: Algorithm,
) -> tuple[Tensor, Tensor]:
    """Does both with the same images, and lays them out only once if one algorithm does both.

    Args:
        x: the images, ``(N, C, H, W)``.
        weight: ``(O, C / groups, *kernel)``.
        grad: with which the images make a gradient of the weights, ``(N, O, H', W')``.
        geometry: of the convolution.
        forward: the algorithm that convolves.
        algorithm: that of the gradient.

    Returns:
        what :func:`convolve` returns without a bias, and :func:`convolve_backward_weight`.
    """
    if forward is not algorithm or not len(x):
        y = convolve(x, weight, None, geometry, forward)
        return y, convolve_backward_weight(grad, x, geometry, algorithm)
    given, pixels, total = pixels_last(grad), pixels_last(x), None
    y, packed = pixels.new_empty(given.shape), algorithm.pack(weight, geometry)
    for block in blocks(algorithm, geometry, x.shape, packed.numel()):
        laid = algorithm.lay(block.pixels(pixels), block.geometry)
        total = algorithm.backward_weight(block.positions(given), laid, block.geometry, total)
        algorithm.forward(laid, packed, block.geometry, block.positions(y))
    assert total is not None
    return channels_first(y), algorithm.unpack_grad(total, geometry).contiguous()


def blocks(algorithm: Algorithm, geometry: Geometry, shape: Sequence[int], weights: int) -> tuple[Block, ...]:
    """Cuts a batch of the shape (N, C, H, W); every block reads this number of weights."""
    # Threads that have images of their own have them in a cache of their own; but kept memory has a limit.
    together = divided(shape[0]) if algorithm.divides else 1
    return _blocks(algorithm, geometry, tuple(shape), weights, BLOCK * min(together, 2), together)


def space(weights: int, block: int = BLOCK) -> int:
    """Returns for how many numbers there is room in a block that reads so many weights.

    It is worth reading many of them only for many pixels.
    """
    return max(block, min(weights, 2 * block))


@lru_cache(maxsize=1024)
def _blocks(
    algorithm: Algorithm,
    geometry: Geometry,
    shape: tuple[int, int, int, int],
    weights: int,
    block: int,
    together: int,
) -> tuple[Block, ...]:
    n, channels, height, width = shape
    numbers = algorithm.workspace(geometry, channels, (height, width))
    room = space(weights, block)
    positions = geometry.output_size((height, width))[0]
    count = positions
    if together * numbers > room:
        count = max(1, room * positions // (together * numbers) // ROWS) * ROWS
    parts = [
        _block(images, slice(row, min(row + count, positions)), geometry, shape)
        for images in _cut(n, numbers, room, together)
        for row in range(0, positions, count)
    ]
    return (replace(parts[0], whole=True),) if len(parts) == 1 else tuple(parts)


def _cut(n: int, numbers: int, room: int, together: int) -> list[slice]:
    """Cuts a batch into blocks of a multiple of some images, one for each thread, where that can be.

    torch divides the numbers of a tensor among threads from the first to the last: of two, the first has the
    first half of the images in its cache. So a block is not some images one after another but every k-th one.
    """
    if together == 1:
        return cut(n, numbers, room)
    least = min(len(cut(n, numbers, room)), n // together)
    count = next((k for k in range(least, 2 * least) if n % (k * together) == 0), least)
    return [slice(first, n, count) for first in range(count)]


def _block(images: slice, rows: slice, geometry: Geometry, shape: Sequence[int]) -> Block:
    """Finds the rows of pixels that some rows of positions see, and the geometry on them alone."""
    height, stride, (top, _) = shape[2], geometry.stride[0], geometry.padding[0]
    if rows == slice(0, geometry.output_size(shape[2:])[0]):
        return Block(images, rows, slice(0, height), geometry)
    begin, end = rows.start * stride - top, (rows.stop - 1) * stride - top + geometry.span[0]
    first = min(max(0, begin), height)
    last = max(first, min(end, height))
    padding = (first - begin, end - last), geometry.padding[1]
    return Block(images, rows, slice(first, last), replace(geometry, padding=padding))
