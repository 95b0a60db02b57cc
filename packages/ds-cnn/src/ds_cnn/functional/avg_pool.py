"""Average pooling: the mean of every region. First by loops, below it the same in one expression."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ds_cnn.functional.regions import Bins, Windows, counts, each, pixels, pixels_backward, places


class Saved(NamedTuple):
    """What the backward needs."""

    size: torch.Size  # of x
    regions: Windows | Bins
    count_include_pad: bool
    divisor: int | None


def avg_pool_loop(
    x: Tensor, regions: Windows | Bins, count_include_pad: bool = True, divisor: int | None = None
) -> tuple[Tensor, Saved]:
    """Takes the mean of every region.

    y[i, j] = sum of region (i, j) / its pixels

    Args:
        x: ``(..., H, W)``.
        regions: windows or bins.
        count_include_pad: whether the pixels of the padding count.
        divisor: to divide by, instead of the number of pixels.

    Returns:
        y ``(..., H', W')``.
    """
    images = x.reshape(-1, *x.shape[-2:])
    y = x.new_zeros(len(images), *regions.output_size((x.shape[-2], x.shape[-1])))
    for c, i, j, region, with_padding in each(images, regions):
        seen = images[c][region]
        y[c, i, j] = seen.sum() / (divisor or (with_padding if count_include_pad else seen.numel()))
    return y.view(*x.shape[:-2], *y.shape[1:]), Saved(x.shape, regions, count_include_pad, divisor)


def avg_pool_loop_backward(grad: Tensor, saved: Saved) -> Tensor:
    """Hands every pixel of a region an equal share of its gradient."""
    size, regions, count_include_pad, divisor = saved
    grads = grad.reshape(-1, *grad.shape[-2:])
    grad_x = grad.new_zeros(len(grads), *size[-2:])
    for c, i, j, region, with_padding in each(grad_x, regions):
        seen = grad_x[c][region]
        count = divisor or (with_padding if count_include_pad else seen.numel())
        grad_x[c][region] += grads[c, i, j] / count  # y = sum / count
    return grad_x.view(size)


def avg_pool(
    x: Tensor, regions: Windows | Bins, count_include_pad: bool = True, divisor: int | None = None
) -> tuple[Tensor, Saved]:
    """Takes the mean of every region:   y = sum over its pixels of x / count.

    Args and shapes: as for :func:`avg_pool_loop`.
    """
    total = pixels(x, places(regions, x)).sum(-1)  # (..., H', W')
    y = total / (divisor or counts(regions, x, count_include_pad))
    return y, Saved(x.shape, regions, count_include_pad, divisor)


def avg_pool_backward(grad: Tensor, saved: Saved) -> Tensor:
    """Hands every pixel of a region its share:   dL/dx += dL/dy / count."""
    size, regions, count_include_pad, divisor = saved
    like_x = grad.new_empty(size)
    grad_total = grad / (divisor or counts(regions, like_x, count_include_pad))  # y = total / count
    place = places(regions, like_x)
    return pixels_backward(grad_total.unsqueeze(-1).expand(*grad.shape, place.shape[-1]), place, size)
