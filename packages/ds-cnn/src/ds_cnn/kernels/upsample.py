"""Resampling on a processor: one product with a sparse matrix for the rows, and one for the columns."""

from __future__ import annotations

from typing import NamedTuple

from ds_core.kernels import branch, kernel
from ds_core.kernels.elementary import channels_side_by_side
from torch import Tensor

from ds_cnn.functional.upsample import Saved, mixture, upsample, upsample_backward
from ds_cnn.kernels.avg_pool import both_sides, finite
from ds_cnn.kernels.images import channels_first, pixels_last


class SavedFactors(NamedTuple):
    """How often each pixel came, down and across."""

    down: int
    across: int


@kernel(upsample, branches=("whole factors", "products"))
class UpsampleKernel:
    """Products are quicker than picking a few pixels, but 0 times infinity is NaN in them: then it picks.

    Where every pixel, as the nearest, comes equally often, it is copied as often, and the backward adds up
    its copies; images with channels last stay so.
    """

    @staticmethod
    def forward(
        x: Tensor,
        size: tuple[int, int],
        mode: str,
        align_corners: bool,
        scale: tuple[float | None, float | None],
        antialias: bool = False,
    ) -> tuple[Tensor, Saved | SavedFactors]:
        factors = _factors(x, size, scale) if mode == "nearest" else None
        if factors is not None:
            branch("UpsampleKernel: whole factors")
            return _repeated(x, factors), factors
        branch("UpsampleKernel: products")
        rows = mixture(x.shape[-2], size[0], mode, align_corners, scale[0], antialias, x)
        columns = mixture(x.shape[-1], size[1], mode, align_corners, scale[1], antialias, x)
        y = both_sides(rows and rows.matrix, x, columns and columns.matrix.mT)
        if finite(y):
            return y.clone() if y is x else y, Saved(x.shape, rows, columns)
        return upsample(x, size, mode, align_corners, scale, antialias)

    @staticmethod
    def backward(grad: Tensor, saved: Saved | SavedFactors) -> Tensor:
        if isinstance(saved, SavedFactors):
            return _added(grad, saved)
        _, rows, columns = saved
        grad_x = both_sides(rows and rows.matrix.mT, grad, columns and columns.matrix)
        return grad_x if finite(grad_x) else upsample_backward(grad, saved)


def _factors(
    x: Tensor, size: tuple[int, int], scale: tuple[float | None, float | None]
) -> SavedFactors | None:
    """Returns by which whole numbers a new size is larger; None if there are no such, or none above 1."""
    if not x.numel():
        return None
    found = SavedFactors(size[0] // x.shape[-2], size[1] // x.shape[-1])
    whole = (
        size == (found.down * x.shape[-2], found.across * x.shape[-1]) and min(found) > 0 and max(found) > 1
    )
    return found if whole and all(s in (None, k) for s, k in zip(scale, found, strict=True)) else None


def _repeated(x: Tensor, factors: SavedFactors) -> Tensor:
    """Writes each pixel so many times side by side: ``(..., H, W)`` -> ``(..., H down, W across)``."""
    down, across = factors
    if channels_side_by_side(x):
        n, height, width, channels = pixels_last(x).shape
        copies = pixels_last(x)[:, :, None, :, None].expand(n, height, down, width, across, channels)
        return channels_first(copies.reshape(n, height * down, width * across, channels))
    *leading, height, width = x.shape
    copies = x[..., :, None, :, None].expand(*leading, height, down, width, across)
    return copies.reshape(*leading, height * down, width * across)


def _added(grad: Tensor, factors: SavedFactors) -> Tensor:
    """Adds up the copies of each pixel: ``(..., H down, W across)`` -> ``(..., H, W)``."""
    if channels_side_by_side(grad):
        rows = _sum([pixels_last(grad)[:, place :: factors.down] for place in range(factors.down)])
        return channels_first(_sum([rows[:, :, place :: factors.across] for place in range(factors.across)]))
    rows = _sum([grad[..., place :: factors.down, :] for place in range(factors.down)])
    return _sum([rows[..., place :: factors.across] for place in range(factors.across)])


def _sum(parts: list[Tensor]) -> Tensor:
    """Adds up tensors, in new memory if there are several."""
    if len(parts) == 1:
        return parts[0]
    total = parts[0] + parts[1]
    for part in parts[2:]:
        total += part
    return total
