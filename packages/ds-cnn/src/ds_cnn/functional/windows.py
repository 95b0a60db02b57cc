"""Windows: how many positions a kernel takes on an image, and the views that show what it sees there."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def pair(value: int | Sequence[int], name: str = "value") -> tuple[int, int]:
    """Returns (vertical, horizontal): one number stands for both.

    Raises:
        ValueError: if a sequence has another length than 2.
    """
    if isinstance(value, int):
        return value, value
    if len(value) != 2:
        raise ValueError(f"{name}: expected one number or two (vertical, horizontal), got {tuple(value)}")
    return int(value[0]), int(value[1])


def positions(
    size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1, ceil_mode: bool = False
) -> int:
    """Returns how many positions a kernel takes along a dimension; 0 or less if it does not fit.

    positions = floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1

    Args:
        size: of the input, in pixels.
        kernel: its size.
        stride: step between positions.
        padding: pixels added at each end.
        dilation: distance between the pixels that one position sees.
        ceil_mode: whether a last position may hang over the end, as long as it starts inside the input or
            the padding before it.
    """
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= size + padding else count


def windows(
    x: Tensor, kernel: tuple[int, int], stride: tuple[int, int] = (1, 1), dilation: tuple[int, int] = (1, 1)
) -> Tensor:
    """Views an image as what the kernel sees at each position; nothing is copied.

    windows[n, c, i, j, u, v] = x[n, c, i stride + u dilation, j stride + v dilation]

    Shape:
        x ``(N, C, H, W)`` -> ``(N, C, positions in H, positions in W, *kernel)``.
    """
    n, c, height, width = x.shape
    out = [
        max(0, positions(size, k, s, 0, d))
        for size, k, s, d in zip((height, width), kernel, stride, dilation, strict=True)
    ]
    sn, sc, sh, sw = x.stride()
    strides = (sn, sc, sh * stride[0], sw * stride[1], sh * dilation[0], sw * dilation[1])
    return torch.as_strided(x, (n, c, *out, *kernel), strides, x.storage_offset())


def window_offset(
    x: Tensor,
    u: int,
    v: int,
    out: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
) -> Tensor:
    """Views the one pixel (u, v) of every window: ``windows(x, ...)[..., u, v]`` by slicing.

    Shape:
        x ``(N, C, H, W)`` -> ``(N, C, *out)``.
    """
    top, left = u * dilation[0], v * dilation[1]
    bottom, right = top + (out[0] - 1) * stride[0] + 1, left + (out[1] - 1) * stride[1] + 1
    return x[:, :, top : max(top, bottom) : stride[0], left : max(left, right) : stride[1]]
