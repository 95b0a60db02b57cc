"""MaxPool2d: the largest pixel of every window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ds_core import InputGrad
from torch import Tensor

from ds_cnn.functional.pooling import loop
from ds_cnn.functional.pooling.max_pool import max_pool, max_pool_backward, positions_of
from ds_cnn.functional.pooling.regions import Windows
from ds_cnn.layers.pooling import Pooling, check_pooling_algorithm, make_windows


class MaxPool2d(Pooling):
    """Takes the largest pixel of every window.

    y[i, j] = max over u, v of x[i stride + u, j stride + v],
    dL/dx[i stride + u, j stride + v] += dL/dy[i, j] where (u, v) was the largest, the first of equals

    Args:
        kernel_size: of a window, in pixels; here and below, one number or (vertical, horizontal).
        stride: from one window to the next; None for ``kernel_size``.
        padding: pixels that windows may reach over the edge; they never win.
        dilation: distance between the pixels of a window.
        return_indices: whether forward also returns where in its channel each maximum is, as row times W plus
            column; backward then takes no gradient for that.
        ceil_mode: whether a last window may hang over the end.
        algorithm: "vectorised", or "loop", the definition, window by window, without ``return_indices``.

    Shape:
        x ``(N, C, H, W)`` or ``(C, H, W)`` -> ``(N, C, H', W')`` or ``(C, H', W')``, with
        ``H' = floor((H + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1``.

    Raises:
        ValueError: if x has other dimensions, or is smaller, padded, than a window.
        TypeError: if x is not floating point.

    Source: Ranzato et al., Unsupervised Learning of Invariant Feature Hierarchies with Applications to Object
    Recognition (2007), section 2.
    """

    regions: Windows

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
        *,
        algorithm: str = "vectorised",
    ) -> None:
        name = type(self).__name__
        self.regions = make_windows(name, kernel_size, stride, padding, dilation, ceil_mode)
        self.return_indices = return_indices
        self.algorithm = check_pooling_algorithm(name, algorithm)
        if return_indices and algorithm == "loop":
            raise ValueError(f"{name}: expected algorithm='vectorised' with return_indices, got 'loop'")

    def forward(self, x: Tensor) -> Any:
        if not self.return_indices:
            return super().forward(x)
        images = self.images(x)
        y, winner = max_pool(images, self.regions)
        self.save(winner, images.shape, x.shape)
        where = positions_of(winner, self.regions, images.shape)
        return y.reshape(*x.shape[:-2], *y.shape[2:]), where.reshape(*x.shape[:-2], *y.shape[2:])

    def backward(self, grad: Any, grad_indices: None = None) -> InputGrad:
        return super().backward(grad)

    def kind(self) -> loop.Kind:
        return loop.Maximum()

    def pool(self, x: Tensor) -> tuple[Tensor, Any]:
        return max_pool(x, self.regions)

    def pool_backward(self, grad: Tensor, kept: Any, images_shape: torch.Size) -> Tensor:
        return max_pool_backward(grad, kept, self.regions, images_shape)

    def extra_repr(self) -> str:
        w = self.regions
        return (
            f"kernel_size={w.kernel}, stride={w.stride}, padding={w.padding}, dilation={w.dilation}, "
            f"ceil_mode={w.ceil_mode}"
        )
