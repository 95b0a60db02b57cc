"""Transposed convolution: kernels stamped onto an image. First by loops, below it the same by products."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from ds_cnn.functional.geometry import (
    Geometry,
    cut_zeros,
    images,
    kernels,
    pad_zeros,
    positions_of,
    window,
    windows,
    windows_backward,
)


class Saved(NamedTuple):
    """What the backward needs."""

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    geometry: Geometry


def conv_transpose_loop(
    x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, size: tuple[int, int]
) -> tuple[Tensor, Saved]:
    """Stamps every kernel onto the image, at every pixel, as strongly as the pixel says.

    y[n, :, i stride + u, j stride + v] += x[n, c, i, j]  weight[c, :, u, v],   then + bias

    Args:
        x: ``(N, C, H, W)``.
        weight: ``(C, O / groups, *kernel)``.
        bias: ``(O,)`` or None for 0.
        geometry: of the convolution that leads from y back to the size of x.
        size: H' and W' of the result; several lead back to the size of x.

    Returns:
        y ``(N, O, H', W')``.
    """
    y = x.new_zeros(len(x), weight.shape[1] * geometry.groups, *geometry.padded_size(size))
    for n, c, i, j in product(*map(range, x.shape)):
        y[n, *window(c, i, j, weight, geometry)] += x[n, c, i, j] * weight[c]
    y = cut_zeros(y, geometry)
    y = y if bias is None else y + bias.view(-1, 1, 1)
    return y, Saved(x, weight, bias, geometry)


def conv_transpose_loop_backward(grad: Tensor, saved: Saved) -> tuple[Tensor, Tensor, Tensor | None]:
    """Hands dL/dy back to both factors of each stamp: to either, times the other.

    dL/dx[n, c, i, j] = sum over o, u, v of  dL/dy[n, o, i stride + u, j stride + v]  weight[c, o, u, v]
    dL/dweight[c, :, u, v] += dL/dy[n, :, i stride + u, j stride + v]  x[n, c, i, j]
    """
    x, weight, bias, geometry = saved
    grad_bias = None if bias is None else grad.sum((0, 2, 3))  # y + bias
    grad_x, grad_weight = torch.zeros_like(x), torch.zeros_like(weight)
    padded = pad_zeros(grad, geometry)  # cut_zeros(y)
    for n, c, i, j in product(*map(range, x.shape)):
        stamped = padded[n, *window(c, i, j, weight, geometry)]  # where this stamp went
        grad_x[n, c, i, j] = (stamped * weight[c]).sum()  # y += x * weight, by x
        grad_weight[c] += stamped * x[n, c, i, j]  # and by the weight
    return grad_x, grad_weight, grad_bias


def conv_transpose(
    x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, size: tuple[int, int]
) -> tuple[Tensor, Saved]:
    """Makes of each pixel a row of stamps, X W, and lets the pixels under them add up.

    It is what dL/dy goes through in the backward of a convolution.

    Args and shapes: as for :func:`conv_transpose_loop`.
    """
    stamps = positions_of(x, geometry) @ kernels(weight, geometry)  # (groups, N H W, O / groups * kernel)
    y = windows_backward(stamps, x.shape[0], size, geometry)  # (N, O, H', W')
    y = y if bias is None else y + bias.view(-1, 1, 1)
    return y, Saved(x, weight, bias, geometry)


def conv_transpose_backward(grad: Tensor, saved: Saved) -> tuple[Tensor, Tensor, Tensor | None]:
    """With S = what dL/dy holds under each stamp:   dL/dX = S W^T,   dL/dW = X^T S,   dL/db = sum of G."""
    x, weight, bias, geometry = saved
    grad_bias = None if bias is None else grad.sum((0, 2, 3))  # y + bias
    grad_stamps = windows(grad, geometry)  # windows_backward(stamps)
    grad_x = grad_stamps @ kernels(weight, geometry).mT  # x @ kernels, by x
    grad_weight = (positions_of(x, geometry).mT @ grad_stamps).reshape(weight.shape)  # and by the kernels
    return images(grad_x, len(x), (x.shape[2], x.shape[3])), grad_weight, grad_bias
