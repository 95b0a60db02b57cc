"""Convolution by im2col whose windows lie on top of one another in memory, so that little is copied."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ds_core.kernels import matmul
from ds_core.kernels.scratch import scratch
from torch import Tensor

from ds_cnn.functional.geometry import Geometry
from ds_cnn.kernels.convolution.algorithm import BETWEEN, Passes, Work, half_round, moved, multiplied, turned
from ds_cnn.kernels.convolution.im2col import Im2col
from ds_cnn.kernels.images import canvas


class Strips(Im2col):
    """Cuts images into strips as wide as the kernel, one for each column of positions.

    What a position sees is then a run of numbers of its strip, and what the position below it sees begins one
    stride further down in the same memory. Where im2col copies a pixel for every window that it is in, strips
    copy it for those side by side only. Rows of a matrix must not overlap, but every k-th window may be one,
    with k = kernel_h / stride_h, rounded up:

    windows 0, k, 2 k, ... are one matrix,  1, k + 1, 2 k + 1, ... the next;  y = each of the k times weight

    dL/dweight = sum over the k matrices of  windows^T dL/dy

    The strips lie one after another, too, and windows that begin at the end of one run into the next. What
    those give is left out of y, and multiplied by 0 in the gradient.

    With a stride of 1, dL/dx is a convolution of dL/dy with the kernels turned half round; with another, it
    is im2col's.
    """

    needs = "a kernel_size above the stride in height, dilation 1 and groups 1"

    def supports(self, geometry: Geometry) -> bool:
        overlap = geometry.kernel[0] > geometry.stride[0]
        return overlap and geometry.dilation == (1, 1) and geometry.groups == 1

    def workspace(self, geometry: Geometry, channels: int, size: tuple[int, int]) -> int:
        return _plan(geometry, (1, *size, channels)).laid

    def work(self, geometry: Geometry, shape: Sequence[int], kernels: int) -> Passes:
        n, channels, *size = shape

        def one(a: int, b: int, geometry: Geometry, size: Sequence[int]) -> Work:
            """Estimates a convolution from a to b numbers, of images of that size."""
            plan = _plan(geometry, (n, size[0], size[1], a))
            count, several, window = plan.windows
            laid = moved(plan.laid, geometry.kernel[1] * a) + moved(count * several * b, b)
            return multiplied(count, window, b) * several + laid + Work(calls=6 + several)

        forward = one(channels, kernels, geometry, size)
        if geometry.stride == (1, 1):
            back = one(kernels, channels, turned(geometry), geometry.output_size(size))
            return Passes(forward, forward, back)
        return Passes(forward, forward, super().work(geometry, shape, kernels).input)

    def pack(self, weight: Tensor, geometry: Geometry) -> Tensor:
        return weight.permute(2, 3, 1, 0).flatten(0, 2)  # (kernel * C, O)

    def lay(self, x: Tensor, geometry: Geometry) -> Any:
        plan = _plan(geometry, x.shape)
        return _Laid(plan, _windows(x, plan))

    def forward(self, laid: Any, packed: Tensor, geometry: Geometry, out: Tensor) -> None:
        _multiply(laid, packed, out)

    def pack_for_input(self, weight: Tensor, geometry: Geometry) -> Tensor:
        if geometry.stride != (1, 1):
            return super().pack(weight, geometry)
        return self.pack(half_round(weight), geometry)  # (kernel * O, C)

    def backward_input(self, grad: Tensor, packed: Tensor, geometry: Geometry, out: Tensor) -> None:
        if geometry.stride != (1, 1):
            super().backward_input(grad, packed, geometry, out)
        else:
            _multiply(self.lay(grad, turned(geometry)), packed, out)

    def backward_weight(
        self, grad: Tensor, laid: Any, geometry: Geometry, total: Tensor | None = None
    ) -> Tensor:
        plan = laid.plan
        given = _products(plan, grad.shape[3], grad).fill_(0)  # also where a window runs into the next strip
        _by_position(given, plan, grad.shape).copy_(grad)
        for a, windows in zip(given.permute(1, 2, 0), laid.windows, strict=True):
            if total is None:
                total = matmul.mm(a, windows)
            else:
                matmul.addmm(total, a, windows, out=total)
        assert total is not None
        return total  # (O, kernel * C)

    def unpack_grad(self, grad_packed: Tensor, geometry: Geometry) -> Tensor:
        return grad_packed.unflatten(1, (*geometry.kernel, -1)).permute(0, 3, 1, 2)


class _Plan(NamedTuple):
    """How strips lie in memory.

    Args:
        offset: row and column of the image's first pixel on its canvas.
        canvas: height and width of the canvas.
        right: columns of the canvas from one strip to the next.
        strips: ``(n, W', rows of the canvas, kernel_w, C)``.
        laid: how many numbers that are.
        begun: windows that begin in a strip: H', and those that run into the next one.
        windows: ``(positions / k, k, kernel * C)``.
        step: numbers from one window to the next.
    """

    offset: tuple[int, int]
    canvas: tuple[int, int]
    right: int
    strips: tuple[int, int, int, int, int]
    laid: int
    begun: int
    windows: tuple[int, int, int]
    step: int


class _Laid(NamedTuple):
    """Strips that are laid out, and the k matrices of windows in them."""

    plan: _Plan
    windows: tuple[Tensor, ...]


@lru_cache(maxsize=1024)
def _plan(geometry: Geometry, shape: tuple[int, int, int, int]) -> _Plan:
    """Plans the strips of images ``(n, H, W, C)``."""
    n, height, width, channels = shape
    (top, _), (left, _) = geometry.padding
    down, right = geometry.stride
    positions, across = geometry.output_size((height, width))
    seen = (positions - 1) * down + geometry.kernel[0]  # rows
    # The zeros above a strip are also those below the one before it, if that holds the whole image.
    needed = max(seen - max(0, top), min(seen, top + height))
    begun = max(positions, math.ceil(needed / down))
    strips = n, across, begun * down, geometry.kernel[1], channels
    several, run = math.ceil(geometry.kernel[0] / down), geometry.kernel[1] * channels
    return _Plan(
        offset=(top, left),
        canvas=(begun * down, (across - 1) * right + geometry.kernel[1]),
        right=right,
        strips=strips,
        laid=math.prod(strips),
        begun=begun,
        windows=(math.ceil(n * across * begun / several), several, geometry.kernel[0] * run),
        step=down * run,
    )


def _windows(x: Tensor, plan: _Plan) -> tuple[Tensor, ...]:
    """Lays out the strips of images ``(n, H, W, C)``, one after another, and returns the k matrices."""
    placed = canvas(x, plan.offset, plan.canvas, memory=BETWEEN)
    image, row, column, channel = placed.stride()
    seen = placed.as_strided(plan.strips, (image, plan.right * column, row, column, channel))
    count, several, window = plan.windows
    memory = scratch("convolution: patches", ((count * several - 1) * plan.step + window,), x)
    memory[: plan.laid].view(plan.strips).copy_(seen)
    memory[plan.laid :].fill_(0)
    return memory.as_strided(plan.windows, (several * plan.step, plan.step, 1)).unbind(1)


def _products(plan: _Plan, kernels: int, like: Tensor) -> Tensor:
    """Returns memory for the products of all windows, ``(positions / k, k, O)``: that of the canvas."""
    return scratch(BETWEEN, (*plan.windows[:2], kernels), like)


def _by_position(products: Tensor, plan: _Plan, shape: Sequence[int]) -> Tensor:
    """Views the products of windows that lie within one strip as ``(n, H', W', O)``."""
    width, kernels = shape[2:]
    return products.as_strided(shape, (width * plan.begun * kernels, kernels, plan.begun * kernels, 1))


def _multiply(laid: _Laid, weight: Tensor, out: Tensor) -> None:
    """Writes what windows give with weights ``(kernel * C, O)`` into ``out``, ``(n, H', W', O)``."""
    products = _products(laid.plan, out.shape[3], out)
    for windows, part in zip(laid.windows, products.unbind(1), strict=True):
        matmul.mm(windows, weight, out=part)
    out.copy_(_by_position(products, laid.plan, out.shape))
