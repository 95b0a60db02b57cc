"""Convolution and its two gradients by any algorithm, a block of a batch at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from ds_core.kernels.elementary import parts as cut
from torch import Tensor

from ds_cnn.functional.geometry import Geometry
from ds_cnn.kernels.convolution.algorithm import Algorithm
from ds_cnn.kernels.images import channels_first, pixels_last

# A batch is worked on in blocks of images for which an algorithm lays out about this many numbers: those stay
# in the cache from one step to the next, and the memory needed does not grow with the batch.
BLOCK = 600_000


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, algorithm: Algorithm
) -> Tensor:
    """Returns y ``(N, O, H', W')``, in channels-last memory; arguments as of the formula."""
    packed, size, rows = algorithm.pack(weight, geometry), geometry.output_size(x.shape[2:]), pixels_last(x)
    parts = blocks(algorithm, geometry, x.shape, packed.numel())
    if len(parts) == 1:
        y = algorithm.forward(rows, packed, geometry).contiguous()
        return channels_first(y if bias is None else y.add_(bias))
    y = rows.new_empty(len(x), *size, len(weight))
    for some in parts:
        result = algorithm.forward(rows[some], packed, geometry)
        if bias is None:
            y[some] = result
        else:
            torch.add(result, bias, out=y[some])
    return channels_first(y)


def convolve_backward_input(
    grad: Tensor, weight: Tensor, geometry: Geometry, size: tuple[int, int], algorithm: Algorithm
) -> Tensor:
    """Returns dL/dx ``(N, C, *size)``, in channels-last memory, from dL/dy ``(N, O, H', W')``."""
    packed, rows = algorithm.pack_for_input(weight, geometry), pixels_last(grad)
    shape = (len(grad), weight.shape[1] * geometry.groups, *size)
    parts = blocks(algorithm, geometry, shape, packed.numel())
    if len(parts) == 1:
        return channels_first(algorithm.backward_input(rows, packed, geometry, size).contiguous())
    grad_x = rows.new_empty(len(grad), *size, shape[1])
    for some in parts:
        grad_x[some] = algorithm.backward_input(rows[some], packed, geometry, size)
    return channels_first(grad_x)


def convolve_backward_weight(grad: Tensor, x: Tensor, geometry: Geometry, algorithm: Algorithm) -> Tensor:
    """Returns dL/dweight ``(O, C / groups, *kernel)``, contiguous, from dL/dy ``(N, O, H', W')``."""
    shape, total = (grad.shape[1], x.shape[1] // geometry.groups, *geometry.kernel), None
    grads, images = pixels_last(grad), pixels_last(x)
    for some in blocks(algorithm, geometry, x.shape, math.prod(shape)):
        share = algorithm.backward_weight(grads[some], images[some], geometry)
        total = share if total is None else total.add_(share)
    if total is None:  # no image at all
        return grad.new_zeros(shape)
    return algorithm.unpack_grad(total, geometry).contiguous()


def blocks(algorithm: Algorithm, geometry: Geometry, shape: Sequence[int], weights: int) -> list[slice]:
    """Cuts a batch of the shape (N, C, H, W); every block reads this number of weights."""
    n, channels, height, width = shape
    numbers = algorithm.workspace(geometry, channels, (height, width))
    # Many weights: reading them is worth it only for many pixels.
    return cut(n, numbers, max(BLOCK, weights))
