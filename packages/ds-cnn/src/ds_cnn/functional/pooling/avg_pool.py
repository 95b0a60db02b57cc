"""Average pooling and its kin, vectorised."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_cnn.functional.padding import pad, pad_backward
from ds_cnn.functional.pooling.regions import Bins, Windows
from ds_cnn.functional.windows import window_offset


def sum_pool(x: Tensor, windows: Windows) -> Tensor:
    """Adds up the pixels of every window.

    y[i, j] = sum over u, v of  x[i stride + u, j stride + v]

    Shape:
        x ``(N, C, H, W)`` -> ``(N, C, H', W')``.
    """
    padded = pad(x, windows.margins((x.shape[2], x.shape[3])))
    size = windows.output_size((x.shape[2], x.shape[3]))
    y = torch.zeros_like(window_offset(padded, 0, 0, size, windows.stride))
    for u in range(windows.kernel[0]):
        for v in range(windows.kernel[1]):
            y += window_offset(padded, u, v, size, windows.stride, windows.dilation)
    return y


def sum_pool_backward(grad: Tensor, windows: Windows, shape: torch.Size) -> Tensor:
    """Hands the gradient of every window to each of its pixels.

    dL/dx[i stride + u, j stride + v] += dL/dy[i, j]

    Args:
        grad: dL/dy.
        windows: as in the forward.
        shape: of x.
    """
    margins = windows.margins((shape[2], shape[3]))
    left, right, top, bottom = margins
    padded = grad.new_zeros(shape[0], top + shape[2] + bottom, left + shape[3] + right, shape[1])
    padded = padded.permute(0, 3, 1, 2)
    size = grad.shape[2], grad.shape[3]
    for u in range(windows.kernel[0]):
        for v in range(windows.kernel[1]):
            seen = window_offset(padded, u, v, size, windows.stride, windows.dilation)
            seen += grad
    return pad_backward(padded, margins)


def counts(windows: Windows, size: tuple[int, int], count_include_pad: bool, like: Tensor) -> Tensor:
    """Returns how many pixels every window has: ``(H', W')``.

    Args:
        windows: where they lie.
        size: height and width of the images.
        count_include_pad: whether the pixels of the padding count.
        like: gives dtype and device.
    """
    tall, wide = (
        torch.tensor(
            [
                count if count_include_pad else len(range(*span.indices(pixels)))
                for span, count in windows.spans(dim, pixels)
            ],
            dtype=like.dtype,
            device=like.device,
        )
        for dim, pixels in enumerate(size)
    )
    return tall[:, None] * wide


def adaptive_avg_pool(x: Tensor, bins: Bins) -> Tensor:
    """Takes the mean of every bin: A x B^T, with a matrix for the rows and one for the columns.

    Shape:
        x ``(N, C, H, W)`` -> ``(N, C, *bins)``.
    """
    return _averaging(bins, 0, x.shape[2], x) @ x @ _averaging(bins, 1, x.shape[3], x).T


def adaptive_avg_pool_backward(grad: Tensor, bins: Bins, shape: torch.Size) -> Tensor:
    """Hands every pixel its share: A^T dL/dy B.

    Args:
        grad: dL/dy.
        bins: as in the forward.
        shape: of x.
    """
    return _averaging(bins, 0, shape[2], grad).T @ grad @ _averaging(bins, 1, shape[3], grad)


def _averaging(bins: Bins, dim: int, size: int, like: Tensor) -> Tensor:
    """Returns the matrix that averages the pixels of each bin along one dimension: (bins, size)."""
    matrix = like.new_zeros(bins.counts[dim], size)
    for row, (span, count) in zip(matrix, bins.spans(dim, size), strict=True):
        row[span] = 1 / count
    return matrix
