"""AvgPool2d: the mean of every window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ds_cnn.functional.pooling import loop
from ds_cnn.functional.pooling.avg_pool import counts, sum_pool, sum_pool_backward
from ds_cnn.functional.pooling.regions import Windows
from ds_cnn.layers.pooling import Pooling, check_pooling_algorithm, make_windows


class AvgPool2d(Pooling):
    """Takes the mean of every window.

    y[i, j] = 1 / n sum over u, v of x[i stride + u, j stride + v],
    dL/dx[i stride + u, j stride + v] += dL/dy[i, j] / n,   with n the number of pixels of the window

    Args:
        kernel_size: of a window, in pixels; here and below, one number or (vertical, horizontal).
        stride: from one window to the next; None for ``kernel_size``.
        padding: pixels of 0 that windows may reach over the edge.
        ceil_mode: whether a last window may hang over the end.
        count_include_pad: whether pixels of the padding count in n.
        divisor_override: what to take for n; None for the number of pixels.
        algorithm: "vectorised", or "loop", the definition, window by window.

    Shape:
        x ``(N, C, H, W)`` or ``(C, H, W)`` -> ``(N, C, H', W')`` or ``(C, H', W')``, with
        ``H' = floor((H + 2 padding - kernel_size) / stride) + 1``.

    Raises:
        ValueError: if x has other dimensions, or is smaller, padded, than a window.
        TypeError: if x is not floating point.

    Source: LeCun et al., Gradient-based learning applied to document recognition (1998), section II.B.
    """

    regions: Windows

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
        *,
        algorithm: str = "vectorised",
    ) -> None:
        name = type(self).__name__
        self.regions = make_windows(name, kernel_size, stride, padding, ceil_mode=ceil_mode)
        if divisor_override is not None and divisor_override == 0:
            raise ValueError(f"{name}: expected divisor_override other than 0")
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override
        self.algorithm = check_pooling_algorithm(name, algorithm)

    def kind(self) -> loop.Kind:
        return loop.Average(self.count_include_pad, self.divisor_override)

    def _divisor(self, size: tuple[int, int], like: Tensor) -> Tensor | int:
        return self.divisor_override or counts(self.regions, size, self.count_include_pad, like)

    def pool(self, x: Tensor) -> tuple[Tensor, Any]:
        divisor = self._divisor((x.shape[2], x.shape[3]), x)
        return sum_pool(x, self.regions).div_(divisor), None

    def pool_backward(self, grad: Tensor, kept: Any, images_shape: torch.Size) -> Tensor:
        divisor = self._divisor((images_shape[2], images_shape[3]), grad)
        return sum_pool_backward(grad / divisor, self.regions, images_shape)

    def extra_repr(self) -> str:
        w = self.regions
        return f"kernel_size={w.kernel}, stride={w.stride}, padding={w.padding}"
