"""LPPool2d: the p-norm of every window, between the sum and the maximum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from ds_core import InputGrad
from ds_core.kernels import dispatch
from torch import Tensor

from ds_cnn import functional
from ds_cnn.functional.regions import Windows
from ds_cnn.layers.pooling import Pooling, check_pooling_algorithm

lp_pool, lp_pool_backward = dispatch(functional.lp_pool, half=torch.float32)
lp_pool_loop, lp_pool_loop_backward = dispatch(functional.lp_pool_loop, half=torch.float32)


@final
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
        if not 0 < norm_type < math.inf:
            raise ValueError(
                f"{name}: expected finite norm_type above 0, got {norm_type}; for the largest, "
                "MaxPool2d of x.abs()"
            )
        self.norm_type = norm_type
        self.set_windows(kernel_size, stride, ceil_mode=ceil_mode)
        self.algorithm = check_pooling_algorithm(name, algorithm)

    def forward(self, input: Tensor) -> Tensor:
        self.check(input)
        pool = lp_pool_loop if self.algorithm == "loop" else lp_pool
        y, saved = pool(input, self.regions, self.norm_type)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        pool_backward = lp_pool_loop_backward if self.algorithm == "loop" else lp_pool_backward
        return pool_backward(grad, saved) if self.input_grad else None

    def extra_repr(self) -> str:
        w = self.regions
        return f"norm_type={self.norm_type}, kernel_size={w.kernel}, stride={w.stride}"
