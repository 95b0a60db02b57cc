"""Convolution by shifts: one matrix product for each pixel of the kernel, all added up."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ds_cnn.functional.convolution.geometry import Geometry, canvas, channels_first, pixels_last, unpadded
from ds_cnn.functional.convolution.method import Method
from ds_cnn.functional.windows import window_offset


class Shifted(Method):
    """Adds up, over the pixels (u, v) of the kernel, the shifted images times the weights at (u, v).

    y = sum over u, v of  shift(x, u, v) kernel[u, v]

    dL/dkernel[u, v] = shift(x, u, v)^T dL/dy,   dL/dx = sum over u, v of  shift back(dL/dy kernel[u, v]^T)

    In a depthwise convolution a channel sees nothing but itself, so each product is one of numbers.
    """

    def numbers_per_image(self, geometry: Geometry, channels: int, size: tuple[int, int]) -> int:
        return math.prod(geometry.padded_size(size)) * channels

    def kernel(self, weight: Tensor, geometry: Geometry) -> Tensor:
        per_group = weight.unflatten(0, (geometry.groups, -1))  # (g, O / g, C / g, *kernel)
        return per_group.permute(3, 4, 0, 2, 1).contiguous()  # (*kernel, g, C / g, O / g)

    def forward(self, x: Tensor, kernel: Tensor, geometry: Geometry) -> Tensor:
        size = geometry.output_size(x.shape[1:3])
        padded = canvas(x, geometry.offset, geometry.padded_size(x.shape[1:3]))
        y = x.new_zeros(len(x), *size, geometry.groups * kernel.shape[-1])
        for u, v in _pixels(geometry):
            _add_product(y, _shift(padded, u, v, size, geometry), kernel[u, v])
        return y

    def backward_input(
        self, grad: Tensor, kernel: Tensor, geometry: Geometry, size: tuple[int, int]
    ) -> Tensor:
        channels = geometry.groups * kernel.shape[-2]
        padded = grad.new_zeros(len(grad), *geometry.padded_size(size), channels)
        for u, v in _pixels(geometry):
            _add_product(_shift(padded, u, v, grad.shape[1:3], geometry), grad, kernel[u, v].mT)
        return unpadded(padded, geometry, size)

    def backward_kernel(self, grad: Tensor, x: Tensor, geometry: Geometry) -> Tensor:
        padded = canvas(x, geometry.offset, geometry.padded_size(x.shape[1:3]))
        given = _grouped(grad, geometry.groups)  # (g, positions, O / g)
        products = []
        for u, v in _pixels(geometry):
            seen = _shift(padded, u, v, grad.shape[1:3], geometry)
            if x.shape[-1] == grad.shape[-1] == geometry.groups:
                products.append((seen * grad).sum((0, 1, 2)).view(-1, 1, 1))
            else:
                products.append(_grouped(seen, geometry.groups).mT @ given)
        return torch.stack(products).unflatten(0, geometry.kernel)

    def kernel_backward(self, kernel_grad: Tensor, geometry: Geometry) -> Tensor:
        return kernel_grad.permute(2, 4, 3, 0, 1).flatten(0, 1)


def _pixels(geometry: Geometry) -> list[tuple[int, int]]:
    """Returns the pixels (u, v) of the kernel."""
    return [(u, v) for u in range(geometry.kernel[0]) for v in range(geometry.kernel[1])]


def _shift(padded: Tensor, u: int, v: int, size: tuple[int, int] | torch.Size, geometry: Geometry) -> Tensor:
    """Views what pixel (u, v) of the kernel sees at all positions: (n, *size, C)."""
    seen = window_offset(channels_first(padded), u, v, (size[0], size[1]), geometry.stride, geometry.dilation)
    return pixels_last(seen)


def _add_product(total: Tensor, x: Tensor, kernel: Tensor) -> None:
    """Adds to ``total`` the pixels of x times the weights (g, C / g, O / g) of their group."""
    groups, channels, kernels = kernel.shape
    if channels == kernels == 1:
        total.addcmul_(x, kernel.view(groups))
    elif groups == 1:
        total += x @ kernel[0]
    else:
        product = _grouped(x, groups) @ kernel  # (g, positions, O / g)
        total += product.transpose(0, 1).reshape(total.shape)


def _grouped(x: Tensor, groups: int) -> Tensor:
    """Views (n, height, width, C) as (g, positions, C / g)."""
    return x.reshape(math.prod(x.shape[:3]), groups, -1).transpose(0, 1)
