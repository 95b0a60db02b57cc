"""Pooling by p-norms, between the sum and the maximum. First by loops, below it in one expression."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ds_cnn.functional.regions import Windows, counts, each, pixels, pixels_backward, places


class Saved(NamedTuple):
    """What the backward needs."""

    x: Tensor
    y: Tensor
    windows: Windows
    p: float


def lp_pool_loop(x: Tensor, windows: Windows, p: float) -> tuple[Tensor, Saved]:
    """Takes the p-norm of every window: the sum for p = 1, the maximum for p to infinity.

    y = (sum over the window of x^p)^(1/p)

    A window that hangs over the end is scaled up to a whole one.

    Shape:
        x ``(..., H, W)`` -> ``(..., H', W')``.
    """
    images, whole = x.reshape(-1, *x.shape[-2:]), windows.kernel[0] * windows.kernel[1]
    y = x.new_zeros(len(images), *windows.output_size((x.shape[-2], x.shape[-1])))
    for c, i, j, region, count in each(images, windows):
        y[c, i, j] = root((images[c][region] ** p).sum() * (whole / count), p)
    y = y.view(*x.shape[:-2], *y.shape[1:])
    return y, Saved(x, y, windows, p)


def lp_pool_loop_backward(grad: Tensor, saved: Saved) -> Tensor:
    """From y^p = sum of x^p:   dL/dx += dL/dy  x^(p - 1) y^(1 - p), and 0 where y is 0."""
    x, y, windows, p = saved
    whole, planes = windows.kernel[0] * windows.kernel[1], x.reshape(-1, *x.shape[-2:])
    grads, pooled = grad.reshape(-1, *grad.shape[-2:]), y.reshape(-1, *y.shape[-2:])
    grad_x = torch.zeros_like(planes)
    for c, i, j, region, count in each(planes, windows):
        grad_sum = grads[c, i, j] * root_slope(pooled[c, i, j], p) * (whole / count)  # y = root of sum
        grad_x[c][region] += grad_sum * planes[c][region] ** (p - 1)  # sum of x^p
    return grad_x.view(x.shape)


def lp_pool(x: Tensor, windows: Windows, p: float) -> tuple[Tensor, Saved]:
    """Takes the p-norm of every window:   y = (sum over the window of x^p)^(1/p).

    Shape and the last windows: as for :func:`lp_pool_loop`.
    """
    whole = windows.kernel[0] * windows.kernel[1]
    powers = pixels(x**p, places(windows, x)).sum(-1)  # (..., H', W')
    y = root(powers * (whole / counts(windows, x, True)), p)
    return y, Saved(x, y, windows, p)


def lp_pool_backward(grad: Tensor, saved: Saved) -> Tensor:
    """From y^p = sum of x^p:   dL/dx += dL/dy  x^(p - 1) y^(1 - p), and 0 where y is 0."""
    x, y, windows, p = saved
    whole, place = windows.kernel[0] * windows.kernel[1], places(windows, x)
    share = grad * root_slope(y, p) * (whole / counts(windows, x, True))  # y = root of powers
    grad_powers = pixels_backward(share.unsqueeze(-1).expand(*share.shape, place.shape[-1]), place, x.shape)
    return grad_powers * x ** (p - 1)  # x^p, the p of which root_slope has already divided out


def root(s: Tensor, p: float) -> Tensor:
    """Returns s^(1/p), and where s is 0 a 0 that has the slope 0."""
    return torch.where(s == 0, 0.0, torch.where(s == 0, 1.0, s) ** (1 / p))


def root_slope(y: Tensor, p: float) -> Tensor:
    """Returns p dy/ds = y^(1 - p) of y = s^(1/p), and 0 where y is 0."""
    return torch.where(y == 0, 0.0, torch.where(y == 0, 1.0, y) ** (1 - p))
