"""AdaptiveMaxPool2d: maxima of as many regions as asked for, whatever the image's size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from ds_core import InputGrad
from ds_core.kernels import dispatch
from torch import Tensor

from ds_cnn import functional
from ds_cnn.functional.regions import Bins
from ds_cnn.layers.pooling import Pooling, check_pooling_algorithm

max_pool, max_pool_backward = dispatch(functional.max_pool)
max_pool_loop, max_pool_loop_backward = dispatch(functional.max_pool_loop)


@final
class AdaptiveMaxPool2d(Pooling):
    """Divides an image into a given number of regions and takes the largest pixel of each.

    Region i of H' begins at floor(i H / H') and ends before ceil((i + 1) H / H').

    y = max of the region,   dL/dx[the largest pixel, the first of equals] += dL/dy

    Args:
        output_size: H' and W', or one number for both; None for as many as the image has.
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
        output_size: int | Sequence[int | None] | None,
        return_indices: bool = False,
        *,
        algorithm: str = "vectorised",
    ) -> None:
        name = type(self).__name__
        self.set_bins(output_size)
        self.return_indices = return_indices
        self.algorithm = check_pooling_algorithm(name, algorithm)
        if return_indices and algorithm == "loop":
            raise ValueError(f"{name}: expected algorithm='vectorised' with return_indices, got 'loop'")

    def forward(self, input: Tensor) -> Any:
        self.check(input)
        if self.algorithm == "loop":
            y, saved = max_pool_loop(input, self.regions)
        else:
            y, saved = max_pool(input, self.regions, self.return_indices)
        self.save(saved)
        return y

    def backward(self, grad: Tensor, grad_indices: None = None) -> InputGrad:
        (saved,) = self.saved()
        pool_backward = max_pool_loop_backward if self.algorithm == "loop" else max_pool_backward
        return pool_backward(grad, saved) if self.input_grad else None

    def extra_repr(self) -> str:
        return f"output_size={self.regions.counts}"
