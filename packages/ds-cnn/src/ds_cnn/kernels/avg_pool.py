"""Average pooling on a processor: windows one of their pixels after the other; bins by two products."""

from __future__ import annotations

import torch
from ds_core.kernels import branch, kernel, matmul
from torch import Tensor

from ds_cnn.functional.avg_pool import Saved, avg_pool, avg_pool_backward
from ds_cnn.functional.regions import Bins, Windows, counts
from ds_cnn.kernels.images import channels_first, pixels_last
from ds_cnn.kernels.windows import batched, image_parts, padded_images, padded_size, unpadded, window_pixels


@kernel(avg_pool, branches=("windows", "bins"))
class AvgPoolKernel:
    """Adds up shifted images. Means of bins are linear in rows and columns separately:   y = A x B^T."""

    @staticmethod
    def forward(
        x: Tensor, regions: Windows | Bins, count_include_pad: bool = True, divisor: int | None = None
    ) -> tuple[Tensor, Saved]:
        saved = Saved(x.shape, regions, count_include_pad, divisor)
        branch(f"AvgPoolKernel: {'bins' if isinstance(regions, Bins) else 'windows'}")
        if isinstance(regions, Bins):
            y = both_sides(_averaging(regions, 0, x), x, _averaging(regions, 1, x).mT)
            return y if finite(y) else avg_pool(x, regions)[0], saved
        y = window_sums(batched(x), regions)
        y.div_(divisor or counts(regions, x, count_include_pad))
        return y.reshape(*x.shape[:-2], *y.shape[2:]), saved

    @staticmethod
    def backward(grad: Tensor, saved: Saved) -> Tensor:
        size, regions, count_include_pad, divisor = saved
        like_x = grad.new_empty(1).expand(size)
        if isinstance(regions, Bins):
            grad_x = both_sides(_averaging(regions, 0, like_x).mT, grad, _averaging(regions, 1, like_x))
            return grad_x if finite(grad_x) else avg_pool_backward(grad, saved)
        share = batched(grad / (divisor or counts(regions, like_x, count_include_pad)))
        return window_sums_backward(share, regions, batched(like_x).shape).reshape(size)


def window_sums(x: Tensor, windows: Windows) -> Tensor:
    """Adds up the pixels of every window: ``(N, C, H, W)`` -> ``(N, C, H', W')``."""
    size = windows.output_size((x.shape[2], x.shape[3]))
    y = x.new_zeros(len(x), *size, x.shape[1])
    for some in image_parts(x.shape):
        padded, total = padded_images(x[some], windows), y[some]
        for _, seen in window_pixels(padded, windows, size):
            total += seen  # y[some] += seen would copy it onto itself besides
    return channels_first(y)


def window_sums_backward(grad: Tensor, windows: Windows, shape: torch.Size) -> Tensor:
    """Hands the gradient of every window to each of its pixels: ``(N, C, H', W')`` -> ``shape``."""
    grads = pixels_last(grad)
    grad_x = grad.new_empty(shape[0], shape[2], shape[3], shape[1])
    for some in image_parts(shape):
        padded = grad.new_zeros(some.stop - some.start, *padded_size(windows, shape), shape[1])
        for _, seen in window_pixels(padded, windows, (grads.shape[1], grads.shape[2])):
            seen += grads[some]
        grad_x[some] = unpadded(padded, windows, shape)
    return channels_first(grad_x)


def finite(x: Tensor) -> bool:
    """Says whether no number is infinite or NaN; in a product, 0 times infinity makes NaN of what is not."""
    return bool(x.sum().isfinite())


def _averaging(bins: Bins, dim: int, x: Tensor) -> Tensor:
    """Returns the matrix that averages the pixels of each bin along one dimension: (bins, size)."""
    spans = bins.spans(dim, x.shape[dim - 2])
    matrix = x.new_zeros(len(spans), x.shape[dim - 2])
    for row, (span, count) in zip(matrix, spans, strict=True):
        row[span] = 1 / count
    return matrix


def both_sides(a: Tensor | None, x: Tensor, b: Tensor | None) -> Tensor:
    """Returns a x b for each channel: ``(n, H)``, ``(..., H, W)``, ``(W, m)`` -> ``(..., n, m)``.

    Without a or b, where it is None.
    """
    if b is not None:
        x = matmul.mm(x.reshape(-1, x.shape[-1]), b).view(*x.shape[:-1], b.shape[1])
    if a is None:
        return x
    images = x.reshape(-1, *x.shape[-2:])
    return matmul.bmm(a.expand(len(images), *a.shape), images).view(*x.shape[:-2], len(a), x.shape[-1])
