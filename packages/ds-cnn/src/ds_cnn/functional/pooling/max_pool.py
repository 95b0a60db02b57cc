"""Max pooling, vectorised: all windows at once, one pixel of the kernel after the other."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ds_cnn.functional.padding import pad, pad_backward
from ds_cnn.functional.pooling.regions import Bins, Windows
from ds_cnn.functional.windows import window_offset


def max_pool(x: Tensor, windows: Windows) -> tuple[Tensor, Tensor]:
    """Takes the largest pixel of every window, the first of equals.

    y[i, j] = max over u, v of  x[i stride + u, j stride + v]

    Args:
        x: ``(N, C, H, W)``, any strides.
        windows: where they lie.

    Returns:
        y ``(N, C, H', W')``, and ``winner``, shaped alike: which pixel of the kernel it was. The pixels are
        numbered from the last, 1, to the first, so that the first of equals has the largest number.
    """
    with torch.no_grad():
        padded = pad(x.detach(), windows.margins((x.shape[2], x.shape[3])), value=float("-inf"))
        size = windows.output_size((x.shape[2], x.shape[3]))
        y = torch.full_like(window_offset(padded, 0, 0, size, windows.stride), float("-inf"))
        for _, seen in _pixels(padded, windows, size):
            torch.maximum(y, seen, out=y)
        number = torch.uint8 if windows.kernel[0] * windows.kernel[1] < 256 else torch.int64
        winner = torch.zeros_like(y, dtype=number)
        total = float(y.sum())
        not_a_number = total != total  # it equals nothing, not even itself
        for pixel, seen in _pixels(padded, windows, size):
            equal = seen == y
            if not_a_number:
                equal |= seen != seen
            torch.maximum(winner, equal.to(number).mul_(pixel), out=winner)
    if torch.is_grad_enabled():  # the tape need not know how the winners were found
        y = x.flatten(2).gather(2, positions_of(winner, windows, x.shape).flatten(2)).view(y.shape)
    return y, winner


def max_pool_backward(grad: Tensor, winner: Tensor, windows: Windows, shape: torch.Size) -> Tensor:
    """Hands the gradient of every window to the pixel that won it.

    dL/dx[i stride + u, j stride + v] += dL/dy[i, j]   where (u, v) is the winner of (i, j)

    Args:
        grad: dL/dy.
        winner: from the forward.
        windows: as in the forward.
        shape: of x.
    """
    margins = windows.margins((shape[2], shape[3]))
    left, right, top, bottom = margins
    padded = grad.new_zeros(shape[0], top + shape[2] + bottom, left + shape[3] + right, shape[1])
    padded = padded.permute(0, 3, 1, 2)
    for pixel, seen in _pixels(padded, windows, (grad.shape[2], grad.shape[3])):
        seen.addcmul_(grad, (winner == pixel).to(grad.dtype))
    return pad_backward(padded, margins)


def positions_of(winner: Tensor, windows: Windows, shape: torch.Size) -> Tensor:
    """Returns where in its channel each winner is: row times W plus column, as torch.nn counts.

    Args:
        winner: from :func:`max_pool`.
        windows: as in the forward.
        shape: of x.
    """
    kernel_height, kernel_width = windows.kernel
    pixel = kernel_height * kernel_width - winner.to(torch.int64)  # counted from the first, 0
    rows = torch.arange(winner.shape[2], device=winner.device)[:, None] * windows.stride[0]
    columns = torch.arange(winner.shape[3], device=winner.device) * windows.stride[1]
    row = rows - windows.padding[0] + pixel.div(kernel_width, rounding_mode="floor") * windows.dilation[0]
    column = columns - windows.padding[1] + pixel.remainder(kernel_width) * windows.dilation[1]
    return row * shape[3] + column


def adaptive_max_pool(x: Tensor, bins: Bins) -> tuple[Tensor, Tensor]:
    """Takes the largest pixel of every bin, the first of equals.

    Args:
        x: ``(N, C, H, W)``.
        bins: how many.

    Returns:
        y ``(N, C, *bins)`` and where in its channel each maximum is, row times W plus column.
    """
    height, width = x.shape[2:]
    positions = torch.arange(height * width, device=x.device).view(height, width)
    found = []
    with torch.no_grad():
        for rows, _ in bins.spans(0, height):
            for columns, _ in bins.spans(1, width):
                winner = x[:, :, rows, columns].flatten(2).argmax(2)  # (N, C), within the bin
                inside = positions[rows, columns].flatten()
                found.append(inside.index_select(0, winner.flatten()).view(winner.shape))
        where = torch.stack(found, 2).view(*x.shape[:2], *bins.counts)
    return x.flatten(2).gather(2, where.flatten(2)).view(where.shape), where


def adaptive_max_pool_backward(grad: Tensor, where: Tensor, shape: torch.Size) -> Tensor:
    """Hands the gradient of every bin to its largest pixel.

    Args:
        grad: dL/dy.
        where: from the forward.
        shape: of x.
    """
    flat = grad.new_zeros(shape[0], shape[1], shape[2] * shape[3])
    return flat.scatter_add_(2, where.flatten(2), grad.flatten(2)).view(shape)


def _pixels(padded: Tensor, windows: Windows, size: tuple[int, int]) -> Iterator[tuple[int, Tensor]]:
    """Yields, for each pixel of the kernel, its number (the last is 1) and what it sees of all windows."""
    height, width = windows.kernel
    for u in range(height):
        for v in range(width):
            seen = window_offset(padded, u, v, size, windows.stride, windows.dilation)
            yield height * width - (u * width + v), seen
