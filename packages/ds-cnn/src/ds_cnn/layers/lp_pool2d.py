"""LPPool2d: the p-norm of every window, between the sum and the maximum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ds_cnn.functional.pooling import loop
from ds_cnn.functional.pooling.avg_pool import counts, sum_pool, sum_pool_backward
from ds_cnn.functional.pooling.regions import Windows
from ds_cnn.layers.pooling import Pooling, check_pooling_algorithm, make_windows


class LPPool2d(Pooling):
    """Takes the p-norm of every window: the sum for p = 1; the larger p, the nearer to the maximum.

    y = (sum over the window of x^p)^(1/p),   dL/dx += dL/dy  x^(p - 1) y^(1 - p)   (0 where y is 0)

    A window that hangs over the end (``ceil_mode``) counts as if it were whole: its sum is scaled up.

    Args:
        norm_type: p.
        kernel_size: of a window, in pixels; here and below, one number or (vertical, horizontal).
        stride: from one window to the next; None for ``kernel_size``.
        ceil_mode: whether a last window may hang over the end.
        algorithm: "vectorised", or "loop", the definition, window by window.

    Shape:
        x ``(N, C, H, W)`` or ``(C, H, W)`` -> ``(N, C, H', W')`` or ``(C, H', W')``, with
        ``H' = floor((H - kernel_size) / stride) + 1``.

    Raises:
        ValueError: if x has other dimensions, or is smaller than a window.
        TypeError: if x is not floating point.

    Source: Sermanet, Chintala, LeCun, Convolutional Neural Networks Applied to House Numbers Digit
    Classification (2012), section 2.2.
    """

    regions: Windows

    def __init__(
        self,
        norm_type: float,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        ceil_mode: bool = False,
        *,
        algorithm: str = "vectorised",
    ) -> None:
        name = type(self).__name__
        if norm_type <= 0:
            raise ValueError(f"{name}: expected norm_type above 0, got {norm_type}")
        self.norm_type = norm_type
        self.regions = make_windows(name, kernel_size, stride, ceil_mode=ceil_mode)
        self.algorithm = check_pooling_algorithm(name, algorithm)

    def kind(self) -> loop.Kind:
        return loop.Norm(self.norm_type, self.regions.kernel[0] * self.regions.kernel[1])

    def _scale(self, size: tuple[int, int], like: Tensor) -> Tensor:
        whole = self.regions.kernel[0] * self.regions.kernel[1]
        return whole / counts(self.regions, size, True, like)

    def pool(self, x: Tensor) -> tuple[Tensor, Any]:
        powers = sum_pool(x**self.norm_type, self.regions) * self._scale((x.shape[2], x.shape[3]), x)
        y = powers ** (1 / self.norm_type)
        return y, (x, y)

    def pool_backward(self, grad: Tensor, kept: Any, images_shape: torch.Size) -> Tensor:
        x, y = kept
        share = grad * self._scale((images_shape[2], images_shape[3]), grad) * y ** (1 - self.norm_type)
        share = share.masked_fill(y == 0, 0.0)
        return sum_pool_backward(share, self.regions, images_shape) * x ** (self.norm_type - 1)

    def extra_repr(self) -> str:
        w = self.regions
        return f"norm_type={self.norm_type}, kernel_size={w.kernel}, stride={w.stride}"
