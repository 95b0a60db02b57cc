"""Max pooling: the largest pixel of every region. First by loops, below it the same in one expression."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ds_cnn.functional.regions import Bins, Windows, each, pixels, places


class LoopSaved(NamedTuple):
    """What the backward by loops needs."""

    x: Tensor
    regions: Windows | Bins


class Saved(NamedTuple):
    """What the backward needs."""

    where: Tensor  # (..., H', W'): the place of each largest pixel in its channel
    size: torch.Size  # of x


def max_pool_loop(x: Tensor, regions: Windows | Bins) -> tuple[Tensor, LoopSaved]:
    """Takes the largest pixel of every region.

    y[i, j] = max of region (i, j)

    Shape:
        x ``(..., H, W)`` -> ``(..., H', W')``.
    """
    images = x.reshape(-1, *x.shape[-2:])
    y = x.new_zeros(len(images), *regions.output_size((x.shape[-2], x.shape[-1])))
    for c, i, j, region, _ in each(images, regions):
        y[c, i, j] = images[c][region].flatten()[first_of_largest(images[c][region])]
    return y.view(*x.shape[:-2], *y.shape[1:]), LoopSaved(x, regions)


def max_pool_loop_backward(grad: Tensor, saved: LoopSaved) -> Tensor:
    """Hands the gradient of every region to the pixel that was the largest, the first of equals."""
    x, regions = saved
    images = x.reshape(-1, *x.shape[-2:])
    grads, grad_x = grad.reshape(-1, *grad.shape[-2:]), torch.zeros_like(images)
    for c, i, j, region, _ in each(images, regions):
        height, width = images[c][region].shape
        winner = torch.arange(height * width, device=x.device) == first_of_largest(images[c][region])
        grad_x[c][region] += grads[c, i, j] * winner.view(height, width)  # y = the winner
    return grad_x.view(x.shape)


def first_of_largest(region: Tensor) -> int:
    """Returns the place of the largest pixel ``(h, w)``, row by row, the first of equals."""
    return int(region.flatten().argmax())


def max_pool(x: Tensor, regions: Windows | Bins, return_indices: bool = False) -> tuple[Any, Saved]:
    """Takes the largest pixel of every region, the first of equals.

    y[i, j] = x[where[i, j]],   where[i, j] = argmax of region (i, j)

    Args:
        x: ``(..., H, W)``.
        regions: windows or bins.
        return_indices: whether where, as row times W plus column, is part of the result.

    Returns:
        y ``(..., H', W')``, or y and where.
    """
    place = places(regions, x)  # (H', W', pixels)
    seen = pixels(x, place, -torch.inf)  # (..., H', W', pixels)
    largest = (seen == seen.amax(-1, keepdim=True)) | (seen != seen)  # a NaN counts as the largest
    first = torch.where(place < 0, False, largest).long().argmax(-1, keepdim=True)
    where = place.expand(seen.shape).gather(-1, first).squeeze(-1)  # (..., H', W')
    y = x.flatten(-2).gather(-1, where.flatten(-2)).view(where.shape)
    return ((y, where) if return_indices else y), Saved(where, x.shape)


def max_pool_backward(grad: Tensor, saved: Saved) -> Tensor:
    """Hands the gradient of every region to its largest pixel:   dL/dx[where[i, j]] += dL/dy[i, j]."""
    where, size = saved
    flat = grad.new_zeros(*size[:-2], size[-2] * size[-1])
    return flat.scatter_add(-1, where.flatten(-2), grad.flatten(-2)).view(size)  # y = x[where]
