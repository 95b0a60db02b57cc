"""AdaptiveMaxPool2d: maxima of as many regions as asked for, whatever the image's size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ds_core import InputGrad
from torch import Tensor

from ds_cnn.functional.pooling import loop
from ds_cnn.functional.pooling.max_pool import adaptive_max_pool, adaptive_max_pool_backward
from ds_cnn.functional.pooling.regions import Bins
from ds_cnn.layers.pooling import Pooling, check_pooling_algorithm, make_bins


class AdaptiveMaxPool2d(Pooling):
    """Divides an image into a given number of regions and takes the largest pixel of each.

    Region i of H' begins at floor(i H / H') and ends before ceil((i + 1) H / H').
    y = max of the region,   dL/dx[the largest pixel, the first of equals] += dL/dy

    Args:
        output_size: H' and W', or one number for both.
        return_indices: whether forward also returns where in its channel each maximum is, as row times W plus
            column; backward then takes no gradient for that.
        algorithm: "vectorised", or "loop", the definition, region by region, without ``return_indices``.

    Shape:
        x ``(N, C, H, W)`` or ``(C, H, W)`` -> ``(N, C, H', W')`` or ``(C, H', W')``.

    Raises:
        ValueError: if x has other dimensions or no pixels.
        TypeError: if x is not floating point.

    Source: He et al., Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition (2014),
    section 2.2.
    """

    regions: Bins

    def __init__(
        self,
        output_size: int | Sequence[int],
        return_indices: bool = False,
        *,
        algorithm: str = "vectorised",
    ) -> None:
        name = type(self).__name__
        self.regions = make_bins(name, output_size)
        self.return_indices = return_indices
        self.algorithm = check_pooling_algorithm(name, algorithm)
        if return_indices and algorithm == "loop":
            raise ValueError(f"{name}: expected algorithm='vectorised' with return_indices, got 'loop'")

    def forward(self, x: Tensor) -> Any:
        if not self.return_indices:
            return super().forward(x)
        images = self.images(x)
        y, where = adaptive_max_pool(images, self.regions)
        self.save(where, images.shape, x.shape)
        return y.reshape(*x.shape[:-2], *y.shape[2:]), where.reshape(*x.shape[:-2], *y.shape[2:])

    def backward(self, grad: Any, grad_indices: None = None) -> InputGrad:
        return super().backward(grad)

    def kind(self) -> loop.Kind:
        return loop.Maximum()

    def pool(self, x: Tensor) -> tuple[Tensor, Any]:
        return adaptive_max_pool(x, self.regions)

    def pool_backward(self, grad: Tensor, kept: Any, images_shape: torch.Size) -> Tensor:
        return adaptive_max_pool_backward(grad, kept, images_shape)

    def extra_repr(self) -> str:
        return f"output_size={self.regions.counts}"
