"""Resampling on a processor: one product with a sparse matrix for the rows, and one for the columns."""

from __future__ import annotations

from ds_core.kernels import kernel
from torch import Tensor

from ds_cnn.functional.upsample import Saved, mixture, upsample, upsample_backward
from ds_cnn.kernels.avg_pool import both_sides, finite


@kernel(upsample)
class UpsampleKernel:
    """Products are quicker than picking a few pixels, but 0 times infinity is NaN in them: then it picks."""

    @staticmethod
    def forward(
        x: Tensor,
        size: tuple[int, int],
        mode: str,
        align_corners: bool,
        scale: tuple[float | None, float | None],
        antialias: bool = False,
    ) -> tuple[Tensor, Saved]:
        rows = mixture(x.shape[-2], size[0], mode, align_corners, scale[0], antialias, x)
        columns = mixture(x.shape[-1], size[1], mode, align_corners, scale[1], antialias, x)
        y = both_sides(rows and rows.matrix, x, columns and columns.matrix.mT)
        if finite(y):
            return y.clone() if y is x else y, Saved(x.shape, rows, columns)
        return upsample(x, size, mode, align_corners, scale, antialias)

    @staticmethod
    def backward(grad: Tensor, saved: Saved) -> Tensor:
        _, rows, columns = saved
        grad_x = both_sides(rows and rows.matrix.mT, grad, columns and columns.matrix)
        return grad_x if finite(grad_x) else upsample_backward(grad, saved)
