"""Convolution by im2col whose gradient of the image is gathered, cell by cell, and not scattered."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ds_core.kernels import matmul
from torch import Tensor

from ds_cnn.functional.geometry import Geometry
from ds_cnn.kernels.convolution.algorithm import Passes, Work, moved, multiplied
from ds_cnn.kernels.convolution.im2col import Im2col
from ds_cnn.kernels.images import canvas


class Cells(Im2col):
    """Cuts the image into cells of stride x stride pixels: on cells, the kernel moves by one.

    That needs a kernel which covers whole cells. The cell at (i, j) was then seen from the positions
    (i - a, j - b), with the part W[a, b] of the weights:

    dL/dcell[i, j] = sum over a, b of  dL/dy[i - a, j - b] W[a, b]^T

    With positions numbered row by row, image by image, (a, b) further is always the same number of rows
    further in the matrix dL/dy, so each term is one matrix product with a part of it, added where it belongs.
    im2col lays out every pixel as often as it was seen and adds the copies up; here, each is written once.
    """

    needs = "a kernel_size that is a multiple of stride, dilation 1 and groups 1"

    def supports(self, geometry: Geometry) -> bool:
        whole = all(k % s == 0 for k, s in zip(geometry.kernel, geometry.stride, strict=True))
        return whole and geometry.dilation == (1, 1) and geometry.groups == 1

    def work(self, geometry: Geometry, shape: Sequence[int], kernels: int) -> Passes:
        forward, weight, _ = super().work(geometry, shape, kernels)
        (height, width), (over, across) = geometry.output_size(shape[2:]), _covered(geometry)
        cells = shape[0] * (height - 1 + over) * (width - 1 + across)
        cell = shape[1] * math.prod(geometry.stride)
        added = multiplied(cells, kernels, cell) + moved(cells * cell, cell) * 2 + Work(calls=2)
        return Passes(forward, weight, added * (over * across) + moved(cells * cell, shape[1]) * 2)

    def pack_for_input(self, weight: Tensor, geometry: Geometry) -> Tensor:
        (down, right), (over, across) = geometry.stride, _covered(geometry)
        by_cell = weight.unflatten(3, (across, right)).unflatten(2, (over, down))  # (O, C, a, i, b, j)
        return by_cell.permute(2, 4, 0, 3, 5, 1).flatten(3)  # (a, b, O, cell)

    def backward_input(self, grad: Tensor, packed: Tensor, geometry: Geometry, out: Tensor) -> None:
        n, height, width, _ = grad.shape
        over, across = _covered(geometry)
        rows, columns = height - 1 + over, width - 1 + across
        given = canvas(grad, (0, 0), (rows, columns)).flatten(0, 2)  # 0 where the kernel would hang over
        given = given[: len(given) - (over - 1) * columns - (across - 1)]
        cells = grad.new_zeros(n * rows * columns, packed.shape[3])
        for a in range(over):
            for b in range(across):
                seen = cells[a * columns + b :][: len(given)]
                matmul.addmm(seen, given, packed[a, b], out=seen)
        by_pixel = cells.view(n, rows, columns, *geometry.stride, -1).transpose(2, 3)
        (top, _), (left, _) = geometry.padding
        size = out.shape[1], out.shape[2]
        out.copy_(canvas(by_pixel.flatten(3, 4).flatten(1, 2), (-top, -left), size))


def _covered(geometry: Geometry) -> tuple[int, int]:
    """Returns how many cells the kernel covers, (down, across)."""
    return geometry.kernel[0] // geometry.stride[0], geometry.kernel[1] // geometry.stride[1]
