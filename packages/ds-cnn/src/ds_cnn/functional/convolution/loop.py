"""Convolution by loops: the definition, pixel by pixel. Slow; read it first."""

from __future__ import annotations

from torch import Tensor

from ds_cnn.functional.convolution.geometry import Geometry, canvas, channels_first, pixels_last, unpadded


def forward(x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """Slides every kernel over every image and multiplies it with what it sees.

    y[n, o, i, j] = sum over c, u, v of  weight[o, c, u, v]  x[n, c, i stride + u, j stride + v]

    Shape:
        x ``(N, C, H, W)``, weight ``(O, C / groups, kernel)`` -> ``(N, O, height, width)``.
    """
    padded = _padded(x, geometry)
    height, width = geometry.output_size(x.shape[2:])
    y = x.new_zeros(len(x), len(weight), height, width)
    for n in range(len(x)):
        for o in range(len(weight)):
            for i in range(height):
                for j in range(width):
                    seen = padded[n][_window(o, i, j, weight, geometry)]  # (C / groups, kernel)
                    y[n, o, i, j] = (weight[o] * seen).sum()
    return y


def backward_input(grad: Tensor, weight: Tensor, geometry: Geometry, size: tuple[int, int]) -> Tensor:
    """Returns to every pixel the gradient of the outputs that saw it, each times the weight it saw it by.

    dL/dx[n, :, i stride + u, j stride + v]  +=  grad[n, o, i, j]  weight[o, :, u, v]

    Shape:
        grad ``(N, O, height, width)``, size ``(H, W)`` -> ``(N, C, H, W)``.
    """
    n_images, n_kernels, height, width = grad.shape
    channels = weight.shape[1] * geometry.groups
    padded = grad.new_zeros(n_images, channels, *geometry.padded_size(size))
    for n in range(n_images):
        for o in range(n_kernels):
            for i in range(height):
                for j in range(width):
                    padded[n][_window(o, i, j, weight, geometry)] += grad[n, o, i, j] * weight[o]
    return channels_first(unpadded(pixels_last(padded), geometry, size))


def backward_weight(grad: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
    """Sums, for every kernel, what it saw times the gradient of what it answered.

    dL/dweight[o]  +=  grad[n, o, i, j]  (what kernel o saw at i, j of image n)

    Shape:
        grad ``(N, O, height, width)``, x ``(N, C, H, W)`` -> ``(O, C / groups, kernel)``.
    """
    padded = _padded(x, geometry)
    n_images, n_kernels, height, width = grad.shape
    weight_grad = x.new_zeros(n_kernels, x.shape[1] // geometry.groups, *geometry.kernel)
    for n in range(n_images):
        for o in range(n_kernels):
            for i in range(height):
                for j in range(width):
                    seen = padded[n][_window(o, i, j, weight_grad, geometry)]
                    weight_grad[o] += grad[n, o, i, j] * seen
    return weight_grad


def _window(o: int, i: int, j: int, weight: Tensor, geometry: Geometry) -> tuple[slice, slice, slice]:
    """Returns the channels, rows and columns of an image that kernel ``o`` sees at position (i, j)."""
    per_group = len(weight) // geometry.groups  # kernels
    channels, *_ = weight.shape[1:]
    first = o // per_group * channels
    rows, columns = (
        slice(p * s, p * s + d * (k - 1) + 1, d)
        for p, s, d, k in zip((i, j), geometry.stride, geometry.dilation, geometry.kernel, strict=True)
    )
    return slice(first, first + channels), rows, columns


def _padded(x: Tensor, geometry: Geometry) -> Tensor:
    """Returns the images with zeros around them."""
    return channels_first(canvas(pixels_last(x), geometry.offset, geometry.padded_size(x.shape[2:])))
