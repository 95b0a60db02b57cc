"""Convolution and its two gradients, by whichever algorithm is asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from torch import Tensor

from ds_cnn.functional.convolution import loop
from ds_cnn.functional.convolution.choice import METHODS, choose
from ds_cnn.functional.convolution.geometry import Geometry, channels_first, pixels_last
from ds_cnn.functional.convolution.method import Method

# A batch is worked on in blocks of images for which a method lays out about so many numbers: those stay in
# the cache from one step to the next, and the memory needed does not grow with the batch.
BLOCK = 600_000


def convolve(
    x: Tensor, weight: Tensor, geometry: Geometry, algorithm: str = "auto", bias: Tensor | None = None
) -> Tensor:
    """Slides kernels over images.

    y[n, o, i, j] = bias[o] + sum over c, u, v of  weight[o, c, u, v]  x[n, c, i stride + u, j stride + v]

    Args:
        x: ``(N, C, H, W)``, any strides.
        weight: ``(O, C / groups, *kernel)``.
        geometry: kernel size, stride, padding, dilation and groups.
        algorithm: "loop", "im2col", "shifted", "winograd" or "auto".
        bias: ``(O,)`` or None for 0.

    Returns:
        ``(N, O, height, width)``; in channels-last memory unless by loops.
    """
    if algorithm == "auto":
        algorithm = choose(geometry, x.shape[1], len(weight))
    if algorithm == "loop":
        y = loop.forward(x, weight, geometry)
        return y if bias is None else y + bias.view(-1, 1, 1)
    method, size = METHODS[algorithm], geometry.output_size(x.shape[2:])
    kernel = method.kernel(weight, geometry)
    images = pixels_last(x)
    y = images.new_empty(len(x), *size, len(weight))
    for some in _blocks(method, geometry, x.shape, kernel.numel()):
        result = method.forward(images[some], kernel, geometry)
        y[some] = result if bias is None else result + bias
    return channels_first(y)


def convolve_backward_input(
    grad: Tensor, weight: Tensor, geometry: Geometry, size: tuple[int, int], algorithm: str = "auto"
) -> Tensor:
    """Returns the gradient of the images: every pixel collects from the positions that saw it.

    dL/dx[n, c, i stride + u, j stride + v]  +=  weight[o, c, u, v]  dL/dy[n, o, i, j]

    Args:
        grad: dL/dy ``(N, O, height, width)``.
        weight: as in the forward.
        geometry: as in the forward.
        size: H and W of the images; stride and padding do not tell them apart.
        algorithm: as in the forward.

    Returns:
        ``(N, C, H, W)``.
    """
    shape = (len(grad), weight.shape[1] * geometry.groups, *size)
    if algorithm == "auto":
        algorithm = choose(geometry, shape[1], len(weight))
    if algorithm == "loop":
        return loop.backward_input(grad, weight, geometry, size)
    method = METHODS[algorithm]
    kernel = method.input_kernel(weight, geometry)
    grads = pixels_last(grad)
    grad_x = grads.new_empty(len(grad), *size, shape[1])
    for some in _blocks(method, geometry, shape, kernel.numel()):
        grad_x[some] = method.backward_input(grads[some], kernel, geometry, size)
    return channels_first(grad_x)


def convolve_backward_weight(grad: Tensor, x: Tensor, geometry: Geometry, algorithm: str = "auto") -> Tensor:
    """Returns the gradient of the weights: what a kernel saw, times the gradient of what it answered.

    dL/dweight[o, c, u, v] = sum over n, i, j of  dL/dy[n, o, i, j]  x[n, c, i stride + u, j stride + v]

    Args:
        grad: dL/dy ``(N, O, height, width)``.
        x: the images, as in the forward.
        geometry: as in the forward.
        algorithm: as in the forward.

    Returns:
        ``(O, C / groups, *kernel)``, contiguous.
    """
    shape = (grad.shape[1], x.shape[1] // geometry.groups, *geometry.kernel)
    if algorithm == "auto":
        algorithm = choose(geometry, x.shape[1], grad.shape[1])
    if algorithm == "loop":
        return loop.backward_weight(grad, x, geometry)
    method, total = METHODS[algorithm], None
    grads, images = pixels_last(grad), pixels_last(x)
    for some in _blocks(method, geometry, x.shape, math.prod(shape)):
        share = method.backward_kernel(grads[some], images[some], geometry)
        total = share if total is None else total.add_(share)
    if total is None:  # no image at all
        return grad.new_zeros(shape)
    return method.kernel_backward(total, geometry).contiguous()


def _blocks(method: Method, geometry: Geometry, shape: Sequence[int], kernel: int) -> Iterator[slice]:
    """Yields slices of a batch of the shape (N, C, H, W), for ``kernel`` numbers that every block reads."""
    n, channels, height, width = shape
    numbers = method.numbers_per_image(geometry, channels, (height, width))
    room = max(BLOCK, kernel)  # many weights: reading them is worth it only for many pixels
    count = max(1, min(n, room // numbers if numbers else n))
    for start in range(0, n, count):
        yield slice(start, start + count)
