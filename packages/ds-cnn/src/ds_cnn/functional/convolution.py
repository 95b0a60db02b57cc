"""Convolution: kernels that slide over images. First the definition, by loops; below it, by products."""

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
    scale: Tensor | None = None


def convolution_loop(
    x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, scale: Tensor | None = None
) -> tuple[Tensor, Saved]:
    """Slides every kernel over every image and multiplies it with what it sees, and with its scale if any.

    y[n, o, i, j] = bias[o] + sum over c, u, v of  weight[o, c, u, v]  x[n, c, i stride + u, j stride + v]

    Shape:
        x ``(N, C, H, W)``, weight ``(O, C / groups, *kernel)``, bias, scale ``(O,)`` -> ``(N, O, H', W')``.
    """
    padded = pad_zeros(x, geometry)
    y = x.new_zeros(len(x), len(weight), *geometry.output_size(x.shape[2:]))
    for n, o, i, j in product(*map(range, y.shape)):
        seen = padded[n, *window(o, i, j, weight, geometry)]  # (C / groups, *kernel)
        y[n, o, i, j] = (weight[o] * seen).sum()
    y = y if scale is None else y * scale.view(-1, 1, 1)  # which nobody trains
    y = y if bias is None else y + bias.view(-1, 1, 1)
    return y, Saved(x, weight, bias, geometry, scale)


def convolution_loop_backward(grad: Tensor, saved: Saved) -> tuple[Tensor, Tensor, Tensor | None]:
    """Hands dL/dy back to both factors of each product: to either, times the other.

    dL/dx[n, :, i stride + u, j stride + v] += dL/dy[n, o, i, j]  weight[o, :, u, v]
    dL/dweight[o, :, u, v] += dL/dy[n, o, i, j]  x[n, :, i stride + u, j stride + v]
    dL/dbias[o] = sum over n, i, j of  dL/dy[n, o, i, j]
    """
    x, weight, bias, geometry, scale = saved
    grad_bias = None if bias is None else grad.sum((0, 2, 3))  # y + bias
    grad = grad if scale is None else grad * scale.view(-1, 1, 1)  # y * scale
    padded = pad_zeros(x, geometry)
    grad_padded, grad_weight = torch.zeros_like(padded), torch.zeros_like(weight)
    for n, o, i, j in product(*map(range, grad.shape)):
        place = n, *window(o, i, j, weight, geometry)
        grad_padded[place] += grad[n, o, i, j] * weight[o]  # y = sum of weight * seen, by what was seen
        grad_weight[o] += grad[n, o, i, j] * padded[place]  # and by the weight
    return cut_zeros(grad_padded, geometry), grad_weight, grad_bias  # padded = x with zeros around it


def convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, scale: Tensor | None = None
) -> tuple[Tensor, Saved]:
    """Lays what each position sees into a row of X, each kernel into a row of W:   Y = X W^T + b.

    A group has an X, a W and a Y of its own.

    Shape:
        as for :func:`convolution_loop`.

    Source: Chellapilla, Puri, Simard, High Performance Convolutional Neural Networks for Document Processing
    (2006), section 2.
    """
    rows = windows(x, geometry)  # (groups, N H' W', C / groups * kernel)
    y = rows @ kernels(weight, geometry).mT  # (groups, N H' W', O / groups)
    y = images(y, x.shape[0], geometry.output_size(x.shape[2:]))  # (N, O, H', W')
    y = y if scale is None else y * scale.view(-1, 1, 1)
    y = y if bias is None else y + bias.view(-1, 1, 1)
    return y, Saved(x, weight, bias, geometry, scale)


def convolution_backward(grad: Tensor, saved: Saved) -> tuple[Tensor, Tensor, Tensor | None]:
    """With G = dL/dY:   dL/dW = G^T X,   dL/dX = G W (each pixel collects its copies),   dL/db = sum of G."""
    x, weight, bias, geometry, scale = saved
    grad_bias = None if bias is None else grad.sum((0, 2, 3))  # y + bias
    grad = grad if scale is None else grad * scale.view(-1, 1, 1)  # y * scale
    g = positions_of(grad, geometry)  # images(y)
    grad_weight = (g.mT @ windows(x, geometry)).reshape(weight.shape)  # rows @ kernels.mT, by the kernels
    grad_rows = g @ kernels(weight, geometry)  # rows @ kernels.mT, by the rows
    return windows_backward(grad_rows, len(x), x.shape[2:], geometry), grad_weight, grad_bias  # windows(x)
