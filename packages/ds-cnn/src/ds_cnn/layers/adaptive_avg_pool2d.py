"""AdaptiveAvgPool2d: means of as many regions as asked for, whatever the image's size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from ds_core import InputGrad
from ds_core.kernels import dispatch
from torch import Tensor

from ds_cnn import functional
from ds_cnn.functional.regions import Bins
from ds_cnn.layers.pooling import Pooling, check_pooling_algorithm

avg_pool, avg_pool_backward = dispatch(functional.avg_pool, half=torch.float32)
avg_pool_loop, avg_pool_loop_backward = dispatch(functional.avg_pool_loop, half=torch.float32)


@final
class AdaptiveAvgPool2d(Pooling):
    """Divides an image into a given number of regions and takes the mean of each.

    Region i of H' begins at floor(i H / H') and ends before ceil((i + 1) H / H').

    With A the matrix that takes the means over rows, and B over columns:   y = A x B^T,   dL/dx = A^T dL/dy B

    Args:
        output_size: H' and W', or one number for both; None for as many as the image has.
        algorithm: "vectorised", or "loop", the definition, region by region.

    Shape:
        x ``(N, C, H, W)`` or ``(C, H, W)`` -> ``(N, C, H', W')`` or ``(C, H', W')``.

    Raises:
        ValueError: if x has other dimensions or no pixels.
        TypeError: if x is not floating point.

    Source: Lin, Chen, Yan, Network In Network (2014), section 3.2, for one region; torch.nn for several.
    """

    regions: Bins

    def __init__(
        self, output_size: int | Sequence[int | None] | None, *, algorithm: str = "vectorised"
    ) -> None:
        self.set_bins(output_size)
        self.algorithm = check_pooling_algorithm(type(self).__name__, algorithm)

    def forward(self, input: Tensor) -> Tensor:
        self.check(input)
        pool = avg_pool_loop if self.algorithm == "loop" else avg_pool
        y, saved = pool(input, self.regions)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        pool_backward = avg_pool_loop_backward if self.algorithm == "loop" else avg_pool_backward
        return pool_backward(grad, saved) if self.input_grad else None

    def extra_repr(self) -> str:
        return f"output_size={self.regions.counts}"
