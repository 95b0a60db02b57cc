"""AdaptiveAvgPool2d: means of as many regions as asked for, whatever the image's size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ds_cnn.functional.pooling import loop
from ds_cnn.functional.pooling.avg_pool import adaptive_avg_pool, adaptive_avg_pool_backward
from ds_cnn.functional.pooling.regions import Bins
from ds_cnn.layers.pooling import Pooling, check_pooling_algorithm, make_bins


class AdaptiveAvgPool2d(Pooling):
    """Divides an image into a given number of regions and takes the mean of each.

    Region i of H' begins at floor(i H / H') and ends before ceil((i + 1) H / H'). With A the matrix that
    takes the means over rows, and B over columns:   y = A x B^T,   dL/dx = A^T dL/dy B

    Args:
        output_size: H' and W', or one number for both.
        algorithm: "vectorised", or "loop", the definition, region by region.

    Shape:
        x ``(N, C, H, W)`` or ``(C, H, W)`` -> ``(N, C, H', W')`` or ``(C, H', W')``.

    Raises:
        ValueError: if x has other dimensions or no pixels.
        TypeError: if x is not floating point.

    Source: Lin, Chen, Yan, Network In Network (2014), section 3.2, for one region; torch.nn for several.
    """

    regions: Bins

    def __init__(self, output_size: int | Sequence[int], *, algorithm: str = "vectorised") -> None:
        self.regions = make_bins(type(self).__name__, output_size)
        self.algorithm = check_pooling_algorithm(type(self).__name__, algorithm)

    def kind(self) -> loop.Kind:
        return loop.Average()

    def pool(self, x: Tensor) -> tuple[Tensor, Any]:
        return adaptive_avg_pool(x, self.regions), None

    def pool_backward(self, grad: Tensor, kept: Any, images_shape: torch.Size) -> Tensor:
        return adaptive_avg_pool_backward(grad, self.regions, images_shape)

    def extra_repr(self) -> str:
        return f"output_size={self.regions.counts}"
