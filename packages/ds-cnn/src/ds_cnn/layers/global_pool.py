"""Global pooling: one number for each channel, wherever in the image it came from."""

from __future__ import annotations

from typing import final

import torch
from ds_core import InputGrad
from ds_core.kernels import dispatch
from torch import Tensor

from ds_cnn import functional
from ds_cnn.functional.regions import Bins
from ds_cnn.layers.pooling import Pooling, check_pooling_algorithm

global_avg_pool, global_avg_pool_backward = dispatch(functional.global_avg_pool, half=torch.float32)
avg_pool_loop, avg_pool_loop_backward = dispatch(functional.avg_pool_loop, half=torch.float32)
max_pool, max_pool_backward = dispatch(functional.max_pool)
max_pool_loop, max_pool_loop_backward = dispatch(functional.max_pool_loop)


@final
class GlobalAvgPool2d(Pooling):
    """Takes the mean of each channel.

    y = mean over i, j of x[i, j],   dL/dx[i, j] = dL/dy / (H W)

    Args:
        algorithm: "vectorised" or "loop".

    Shape:
        x ``(N, C, H, W)`` or ``(C, H, W)`` -> ``(N, C)`` or ``(C,)``.

    Raises:
        ValueError: if x has other dimensions or no pixels.
        TypeError: if x is not floating point.

    Source: Lin, Chen, Yan, Network In Network (2014), section 3.2.
    """

    regions = Bins((1, 1))

    def __init__(self, *, algorithm: str = "vectorised") -> None:
        self.algorithm = check_pooling_algorithm("GlobalAvgPool2d", algorithm)

    def forward(self, input: Tensor) -> Tensor:
        self.check(input)
        if self.algorithm == "loop":
            y, saved = avg_pool_loop(input, self.regions)
        else:
            y, saved = global_avg_pool(input)
        self.save(saved)
        return y.reshape(input.shape[:-2])

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        if not self.input_grad:
            return None
        if self.algorithm == "loop":
            return avg_pool_loop_backward(grad[..., None, None], saved)
        return global_avg_pool_backward(grad, saved)


@final
class GlobalMaxPool2d(Pooling):
    """Takes the largest pixel of each channel.

    y = max over i, j of x[i, j],   dL/dx[the largest, the first of equals] = dL/dy, 0 elsewhere

    Args:
        algorithm: "vectorised" or "loop".

    Shape:
        x ``(N, C, H, W)`` or ``(C, H, W)`` -> ``(N, C)`` or ``(C,)``.

    Raises:
        ValueError: if x has other dimensions or no pixels.
        TypeError: if x is not floating point.

    Source: Oquab et al., Is object localization for free? (2015), section 3.
    """

    regions = Bins((1, 1))

    def __init__(self, *, algorithm: str = "vectorised") -> None:
        self.algorithm = check_pooling_algorithm("GlobalMaxPool2d", algorithm)

    def forward(self, input: Tensor) -> Tensor:
        self.check(input)
        pool = max_pool_loop if self.algorithm == "loop" else max_pool
        y, saved = pool(input, self.regions)
        self.save(saved)
        return y.reshape(input.shape[:-2])

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        pool_backward = max_pool_loop_backward if self.algorithm == "loop" else max_pool_backward
        return pool_backward(grad[..., None, None], saved) if self.input_grad else None
