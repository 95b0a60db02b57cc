"""MaxPool2d: the largest pixel of every window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from ds_core import InputGrad
from ds_core.kernels import dispatch
from torch import Tensor

from ds_cnn import functional
from ds_cnn.functional.regions import Windows
from ds_cnn.layers.pooling import Pooling, check_pooling_algorithm

max_pool, max_pool_backward = dispatch(functional.max_pool)
max_pool_loop, max_pool_loop_backward = dispatch(functional.max_pool_loop)


@final
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
        ValueError: if x has other dimensions, is smaller, padded, than a window, or a window has none of its
            pixels, as one with gaps may.
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
        self.set_windows(kernel_size, stride, padding, dilation, ceil_mode)
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
        w = self.regions
        return (
            f"kernel_size={w.kernel}, stride={w.stride}, padding={w.padding}, dilation={w.dilation}, "
            f"ceil_mode={w.ceil_mode}"
        )
