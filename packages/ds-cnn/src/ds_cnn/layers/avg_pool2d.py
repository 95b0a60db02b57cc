"""AvgPool2d: the mean of every window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from ds_core import InputGrad
from ds_core.kernels import dispatch
from torch import Tensor

from ds_cnn import functional
from ds_cnn.functional.regions import Windows
from ds_cnn.layers.pooling import Pooling, check_pooling_algorithm

avg_pool, avg_pool_backward = dispatch(functional.avg_pool, half=torch.float32)
avg_pool_loop, avg_pool_loop_backward = dispatch(functional.avg_pool_loop, half=torch.float32)


@final
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
        self.set_windows(kernel_size, stride, padding, ceil_mode=ceil_mode)
        if divisor_override is not None and divisor_override == 0:
            raise ValueError(f"{name}: expected divisor_override other than 0")
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override
        self.algorithm = check_pooling_algorithm(name, algorithm)

    def forward(self, input: Tensor) -> Tensor:
        self.check(input)
        pool = avg_pool_loop if self.algorithm == "loop" else avg_pool
        y, saved = pool(input, self.regions, self.count_include_pad, self.divisor_override)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        pool_backward = avg_pool_loop_backward if self.algorithm == "loop" else avg_pool_backward
        return pool_backward(grad, saved) if self.input_grad else None

    def extra_repr(self) -> str:
        w = self.regions
        return f"kernel_size={w.kernel}, stride={w.stride}, padding={w.padding}"
