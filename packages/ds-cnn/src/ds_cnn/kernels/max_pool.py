"""Max pooling on a processor: all windows at once, one of their pixels after the other; bins one by one."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from ds_core.kernels import branch, kernel
from torch import Tensor

from ds_cnn.functional.max_pool import max_pool
from ds_cnn.functional.regions import Bins, Windows
from ds_cnn.kernels.images import canvas, channels_first, pixels_last
from ds_cnn.kernels.windows import batched, image_parts, padded_images, padded_size, unpadded, window_pixels

BRANCHES = (
    *("up to 255 pixels", "more", "infinite", "bins", "one block", "several blocks"),
    *("gradient by pixel", "gradient by index"),
)
FEW = 4  # pixels of a window, up to which a pass for each takes no longer than looking up where they lie
TYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)  # numbers are compared, not computed


@kernel(max_pool, dtypes=TYPES, branches=BRANCHES)
class MaxPoolKernel:
    """Keeps of each window the number of the pixel that won, and lets the gradient go there alone.

    The pixels are numbered from the last, 1, to the first, so that the first of equals has the largest
    number.
    """

    @staticmethod
    def forward(x: Tensor, regions: Windows | Bins, return_indices: bool = False) -> tuple[Any, Any]:
        images = batched(x)
        if isinstance(regions, Bins):
            branch("MaxPoolKernel: bins")
            y, where = _bins(images, regions)
            winner = where
        else:
            y, winner = _windows(images, regions)
            where = winner
            if return_indices:  # as torch.nn counts
                where = _places(winner, *_numbers(regions, images.shape, images.device))
        y, where = (result.reshape(*x.shape[:-2], *y.shape[2:]) for result in (y, where))
        return ((y, where) if return_indices else y), (winner, regions, x.shape, images.shape)

    @staticmethod
    def backward(grad: Tensor, saved: Any) -> Tensor:
        winner, regions, size, shape = saved
        if isinstance(regions, Bins):
            flat = grad.new_zeros(*shape[:2], shape[2] * shape[3])
            return flat.scatter_add_(2, winner.flatten(2), grad.reshape(winner.shape).flatten(2)).view(size)
        grads, winners = pixels_last(grad.reshape(winner.shape)), pixels_last(winner)
        blocks = image_parts(shape)
        if math.prod(regions.kernel) > FEW:
            branch("MaxPoolKernel: gradient by index")
            numbers = _numbers(regions, shape, grad.device)
            grad_x = grad.new_zeros(shape[0], shape[2], shape[3], shape[1])
            for some in blocks:
                _by_index(grads[some], winners[some], *numbers, out=grad_x[some])
        else:
            branch("MaxPoolKernel: gradient by pixel")
            if len(blocks) == 1:
                return channels_first(_by_pixel(grads, winners, regions, shape)).reshape(size)
            grad_x = grad.new_empty(shape[0], shape[2], shape[3], shape[1])
            for some in blocks:
                grad_x[some] = _by_pixel(grads[some], winners[some], regions, shape)
        return channels_first(grad_x).reshape(size)


def _windows(x: Tensor, windows: Windows) -> tuple[Tensor, Tensor]:
    """Returns the largest pixel of every window, and its number, a block of images at a time."""
    blocks = image_parts(x.shape)
    branch(f"MaxPoolKernel: {'several blocks' if len(blocks) > 1 else 'one block'}")
    if len(blocks) <= 1:
        return _windows_of(x, windows)
    first = _windows_of(x[blocks[0]], windows)
    y, winner = (pixels_last(part).new_empty(len(x), *pixels_last(part).shape[1:]) for part in first)
    for some in blocks:
        of_some = first if some.start == 0 else _windows_of(x[some], windows)
        for result, part in zip((y, winner), of_some, strict=True):
            result[some] = pixels_last(part)
    return channels_first(y), channels_first(winner)


def _windows_of(x: Tensor, windows: Windows) -> tuple[Tensor, Tensor]:
    """Returns the largest pixel of every window, and its number.

    From the last pixel to the first, each that is as large as all before becomes the winner.
    """
    padded, size = padded_images(x, windows, -math.inf), windows.output_size((x.shape[2], x.shape[3]))
    y = padded.new_full((len(x), *size, x.shape[1]), -math.inf)
    few = windows.kernel[0] * windows.kernel[1] < 256
    branch(f"MaxPoolKernel: {'up to 255 pixels' if few else 'more'}")
    winner = torch.zeros_like(y, dtype=y.dtype if few else torch.int64)
    number = torch.empty_like(winner)  # of the type that is compared: that is several times faster
    pixels = list(window_pixels(padded, windows, size))
    for pixel, seen in reversed(pixels):
        torch.ge(seen, y, out=number).mul_(pixel)
        torch.maximum(seen, y, out=y)
        torch.maximum(winner, number, out=winner)
    if not math.isfinite(float(y.sum())):
        # A NaN equals nothing; the padding is as small as an infinite pixel.
        inside = _inside(x, windows, size)
        winner.fill_(0)
        for pixel, seen in pixels:
            equal = ((seen == y) | (seen != seen)) & inside[pixel]
            torch.maximum(winner, equal.to(winner.dtype).mul_(pixel), out=winner)
    return channels_first(y), channels_first(winner.to(torch.uint8) if few else winner)


def _by_pixel(grads: Tensor, winners: Tensor, windows: Windows, shape: torch.Size) -> Tensor:
    """Hands the gradients ``(n, H', W', C)`` to the winners alone, ``(n, H, W, C)``: pixel by pixel."""
    padded = grads.new_zeros(len(grads), *padded_size(windows, shape), shape[1])
    finite = math.isfinite(float(grads.sum()))  # 0 times an infinite gradient would not be 0
    won, share = torch.empty_like(winners), torch.empty_like(grads)
    for pixel, seen in window_pixels(padded, windows, (grads.shape[1], grads.shape[2])):
        if finite:
            seen.addcmul_(grads, share.copy_(torch.eq(winners, pixel, out=won)))
        else:
            seen += torch.where(winners == pixel, grads, 0)
    return unpadded(padded, windows, shape)


def _numbers(windows: Windows, shape: torch.Size, device: torch.device) -> tuple[Tensor, Tensor]:
    """Returns where in a channel, row times W plus column, the pixels of its windows lie.

    Returns:
        The place of each window's first pixel, ``(H', W')``, and by a pixel's number, 1 for the last of a
        window, how far it lies from the first.
    """
    height, width = shape[2:]
    counts, whole = windows.output_size((height, width)), partial(torch.arange, device=device)
    top, left = (
        whole(count) * step - before
        for count, step, before in zip(counts, windows.stride, windows.padding, strict=True)
    )
    below, beside = (whole(k) * apart for k, apart in zip(windows.kernel, windows.dilation, strict=True))
    further = (below[:, None] * width + beside).flatten().flip(0)
    return top[:, None] * width + left, torch.cat([further[:1], further])  # 0 is no pixel's number


def _places(winners: Tensor, first: Tensor, further: Tensor) -> Tensor:
    """Returns where each winner is, from what :func:`_numbers` returns; every window has one."""
    return further.index_select(0, winners.flatten().int()).view(winners.shape).add_(first)


def _by_index(grads: Tensor, winners: Tensor, first: Tensor, further: Tensor, out: Tensor) -> None:
    """Does the same by the places of the winners, into zeros; channels lie side by side."""
    channels = winners.shape[3]
    first = first[:, :, None] * channels + torch.arange(channels, device=first.device)  # (H', W', C)
    places = _places(winners, first, further * channels).flatten(1)
    out.view(len(out), -1).scatter_add_(1, places, grads.flatten(1))


def _inside(x: Tensor, windows: Windows, size: tuple[int, int]) -> dict[int, Tensor]:
    """Returns, by the number of each pixel of a window, for which windows it lies in the image."""
    branch("MaxPoolKernel: infinite")
    image = x.new_ones(1, x.shape[2], x.shape[3], 1, dtype=torch.bool)
    padded = canvas(image, windows.padding, padded_size(windows, x.shape), False)
    return dict(window_pixels(padded, windows, size))


def _bins(x: Tensor, bins: Bins) -> tuple[Tensor, Tensor]:
    """Returns the largest pixel of every bin, and where in its channel it is."""
    height, width = x.shape[2:]
    positions = torch.arange(height * width, device=x.device).view(height, width)
    found = []
    for rows, _ in bins.spans(0, height):
        for columns, _ in bins.spans(1, width):
            winner = x[:, :, rows, columns].flatten(2).argmax(2)  # (N, C), within the bin
            inside = positions[rows, columns].flatten()
            found.append(inside.index_select(0, winner.flatten()).view(winner.shape))
    where = torch.stack(found, 2).view(*x.shape[:2], *bins.output_size((height, width)))
    return x.flatten(2).gather(2, where.flatten(2)).view(where.shape), where
