"""Pools of sequences: those of images with one row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, final

import torch
from ds_core import InputGrad, Module
from ds_core.checks import check_floating, shape
from ds_core.kernels import dispatch
from torch import Tensor

from ds_cnn import functional
from ds_cnn.functional.regions import Bins, Windows
from ds_cnn.layers.convolution import sizes
from ds_cnn.layers.pooling import check_seen, make_bins, make_windows

max_pool, max_pool_backward = dispatch(functional.max_pool)
avg_pool, avg_pool_backward = dispatch(functional.avg_pool, half=torch.float32)
lp_pool, lp_pool_backward = dispatch(functional.lp_pool, half=torch.float32)

Number = int | Sequence[int]  # one number, or a sequence of one


class Pooling1d(Module):
    """Base of the pools of sequences: a subclass says which regions are summed up, and how."""

    regions: Windows | Bins

    def set_windows(
        self,
        kernel_size: Number,
        stride: Number | None,
        padding: Number = 0,
        dilation: Number = 1,
        ceil_mode: bool = False,
    ) -> None:
        """Keeps the arguments, and the windows of one row that they describe.

        Raises:
            ValueError: if one is out of range.
        """
        name, stride = type(self).__name__, kernel_size if stride is None else stride
        (kernel,), (step,) = sizes(name, "kernel_size", kernel_size, 1), sizes(name, "stride", stride, 1)
        (pads,), (gap,) = sizes(name, "padding", padding, 1, least=0), sizes(name, "dilation", dilation, 1)
        self.regions = make_windows(name, (1, kernel), (1, step), (0, pads), (1, gap), ceil_mode)
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation, self.ceil_mode = dilation, ceil_mode

    def set_bins(self, output_size: Number) -> None:
        """Keeps the argument, and the bins of one row that it describes.

        Raises:
            ValueError: if it is out of range.
        """
        name = type(self).__name__
        self.regions = make_bins(name, (1, *sizes(name, "output_size", output_size, 1)))
        self.output_size = output_size

    def rows(self, x: Tensor) -> Tensor:
        """Checks a batch of sequences, or one, and views it as images with one row.

        Raises:
            ValueError: if it has other dimensions, no window fits, or one has none of its places.
            TypeError: if it is not floating point.
        """
        if x.dim() not in (2, 3):
            raise ValueError(f"{self.label()}: expected input of shape (N, C, L) or (C, L), got {shape(x)}")
        check_floating(self, x)
        if self.regions.output_size((1, x.shape[-1]))[1] < 1 or not x.shape[-1]:
            raise ValueError(
                f"{self.label()}: expected sequences at least as long, padded, as a window, got input of "
                f"shape {shape(x)}"
            )
        check_seen(self, self.regions, x, (1, x.shape[-1]))
        return x.unsqueeze(-2)


@final
class MaxPool1d(Pooling1d):
    """Takes the largest number of every window of a sequence.

    y[i] = max over u of x[i stride + u],   dL/dx[i stride + u] += dL/dy[i] where u was the largest, the first
    of equals

    Args:
        kernel_size: of a window.
        stride: from one window to the next; None for ``kernel_size``.
        padding: places that windows may reach over the ends; they never win.
        dilation: distance between the places of a window.
        return_indices: whether forward also returns where each maximum is; backward then takes no gradient
            for that.
        ceil_mode: whether a last window may hang over the end.

    Shape:
        x ``(N, C, L)`` or ``(C, L)`` -> ``(N, C, L')`` or ``(C, L')``, with
        ``L' = floor((L + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1``.

    Raises:
        ValueError: if x has other dimensions, is shorter, padded, than a window, or a window has none of its
            places, as one with gaps may.
        TypeError: if x is not floating point.

    Source: as :class:`~ds_cnn.layers.max_pool2d.MaxPool2d`.
    """

    def __init__(
        self,
        kernel_size: Number,
        stride: Number | None = None,
        padding: Number = 0,
        dilation: Number = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        self.set_windows(kernel_size, stride, padding, dilation, ceil_mode)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        y, saved = max_pool(self.rows(input), self.regions, self.return_indices)
        self.save(saved)
        return tuple(part.squeeze(-2) for part in y) if self.return_indices else y.squeeze(-2)

    def backward(self, grad: Tensor, grad_indices: None = None) -> InputGrad:
        (saved,) = self.saved()
        return max_pool_backward(grad.unsqueeze(-2), saved).squeeze(-2) if self.input_grad else None

    def extra_repr(self) -> str:
        return of_windows(self.regions, "stride", "padding", "dilation", "ceil_mode")


@final
class AvgPool1d(Pooling1d):
    """Takes the mean of every window of a sequence.

    y[i] = 1 / n sum over u of x[i stride + u],   dL/dx[i stride + u] += dL/dy[i] / n

    Args:
        kernel_size: of a window.
        stride: from one window to the next; None for ``kernel_size``.
        padding: places of 0 that windows may reach over the ends.
        ceil_mode: whether a last window may hang over the end.
        count_include_pad: whether places of the padding count in n.

    Shape:
        x ``(N, C, L)`` or ``(C, L)`` -> ``(N, C, L')`` or ``(C, L')``, with
        ``L' = floor((L + 2 padding - kernel_size) / stride) + 1``.

    Raises:
        ValueError: if x has other dimensions, or is shorter, padded, than a window.
        TypeError: if x is not floating point.

    Source: as :class:`~ds_cnn.layers.avg_pool2d.AvgPool2d`.
    """

    def __init__(
        self,
        kernel_size: Number,
        stride: Number | None = None,
        padding: Number = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self.set_windows(kernel_size, stride, padding, ceil_mode=ceil_mode)
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        y, saved = avg_pool(self.rows(input), self.regions, self.count_include_pad)
        self.save(saved)
        return y.squeeze(-2)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return avg_pool_backward(grad.unsqueeze(-2), saved).squeeze(-2) if self.input_grad else None

    def extra_repr(self) -> str:
        return of_windows(self.regions, "stride", "padding")


@final
class LPPool1d(Pooling1d):
    """Takes the p-norm of every window of a sequence; the larger p, the nearer to the maximum.

    y = (sum over the window of x^p)^(1/p),   dL/dx += dL/dy  x^(p - 1) y^(1 - p)   (0 where y is 0)

    Args:
        norm_type: p.
        kernel_size: of a window.
        stride: from one window to the next; None for ``kernel_size``.
        ceil_mode: whether a last window may hang over the end; it counts as if it were whole.

    Shape:
        x ``(N, C, L)`` or ``(C, L)`` -> ``(N, C, L')`` or ``(C, L')``, with
        ``L' = floor((L - kernel_size) / stride) + 1``.

    Raises:
        ValueError: if x has other dimensions, or is shorter than a window.
        TypeError: if x is not floating point.

    Source: as :class:`~ds_cnn.layers.lp_pool2d.LPPool2d`.
    """

    def __init__(
        self, norm_type: float, kernel_size: Number, stride: Number | None = None, ceil_mode: bool = False
    ) -> None:
        if not 0 < norm_type < math.inf:
            raise ValueError(
                f"LPPool1d: expected finite norm_type above 0, got {norm_type}; for the largest, "
                "MaxPool1d of x.abs()"
            )
        self.norm_type = norm_type
        self.set_windows(kernel_size, stride, ceil_mode=ceil_mode)

    def forward(self, input: Tensor) -> Tensor:
        y, saved = lp_pool(self.rows(input), self.regions, self.norm_type)
        self.save(saved)
        return y.squeeze(-2)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return lp_pool_backward(grad.unsqueeze(-2), saved).squeeze(-2) if self.input_grad else None

    def extra_repr(self) -> str:
        return f"norm_type={self.norm_type}, " + of_windows(self.regions, "stride", "ceil_mode")


@final
class AdaptiveMaxPool1d(Pooling1d):
    """Divides a sequence into a given number of regions and takes the largest number of each.

    Region i of L' begins at floor(i L / L') and ends before ceil((i + 1) L / L').

    y = max of the region,   dL/dx[the largest, the first of equals] += dL/dy

    Args:
        output_size: L'.
        return_indices: whether forward also returns where each maximum is; backward then takes no gradient
            for that.

    Shape:
        x ``(N, C, L)`` or ``(C, L)`` -> ``(N, C, L')`` or ``(C, L')``.

    Raises:
        ValueError: if x has other dimensions or no places.
        TypeError: if x is not floating point.

    Source: as :class:`~ds_cnn.layers.adaptive_max_pool2d.AdaptiveMaxPool2d`.
    """

    def __init__(self, output_size: Number, return_indices: bool = False) -> None:
        self.set_bins(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        y, saved = max_pool(self.rows(input), self.regions, self.return_indices)
        self.save(saved)
        return tuple(part.squeeze(-2) for part in y) if self.return_indices else y.squeeze(-2)

    def backward(self, grad: Tensor, grad_indices: None = None) -> InputGrad:
        (saved,) = self.saved()
        return max_pool_backward(grad.unsqueeze(-2), saved).squeeze(-2) if self.input_grad else None

    def extra_repr(self) -> str:
        return f"output_size={self.regions.counts[1]}"  # type: ignore[union-attr]


@final
class AdaptiveAvgPool1d(Pooling1d):
    """Divides a sequence into a given number of regions and takes the mean of each.

    Region i of L' begins at floor(i L / L') and ends before ceil((i + 1) L / L').

    y = mean of the region,   dL/dx += dL/dy / n in the region, which has n places

    Args:
        output_size: L'.

    Shape:
        x ``(N, C, L)`` or ``(C, L)`` -> ``(N, C, L')`` or ``(C, L')``.

    Raises:
        ValueError: if x has other dimensions or no places.
        TypeError: if x is not floating point.

    Source: as :class:`~ds_cnn.layers.adaptive_avg_pool2d.AdaptiveAvgPool2d`.
    """

    def __init__(self, output_size: Number) -> None:
        self.set_bins(output_size)

    def forward(self, input: Tensor) -> Tensor:
        y, saved = avg_pool(self.rows(input), self.regions)
        self.save(saved)
        return y.squeeze(-2)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return avg_pool_backward(grad.unsqueeze(-2), saved).squeeze(-2) if self.input_grad else None

    def extra_repr(self) -> str:
        return f"output_size={self.regions.counts[1]}"  # type: ignore[union-attr]


def of_windows(regions: Windows | Bins, *names: str) -> str:
    """Shows what windows of one row are."""
    assert isinstance(regions, Windows)
    pairs = {name: getattr(regions, name) for name in ("kernel", *names)}
    shown = {name: value[1] if isinstance(value, tuple) else value for name, value in pairs.items()}
    return ", ".join(
        f"{'kernel_size' if name == 'kernel' else name}={value}" for name, value in shown.items()
    )
