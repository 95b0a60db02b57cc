"""Convolution by shifts: one matrix product for each pixel of the kernel, all added up."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from ds_core.kernels.scratch import scratch
from torch import Tensor

from ds_cnn.functional.geometry import Geometry
from ds_cnn.kernels.convolution.algorithm import (
    Algorithm,
    Passes,
    Work,
    grouped,
    moved,
    multiplied,
    multiply_into,
    product,
)
from ds_cnn.kernels.images import canvas, shift


class Shifted(Algorithm):
    """Adds up, over the pixels (u, v) of the kernel, the shifted images times the weights at (u, v).

    y = sum over u, v of  shift(x, u, v) weight[u, v]

    dL/dweight[u, v] = shift(x, u, v)^T dL/dy,   dL/dx = sum over u, v of  shift back(dL/dy weight[u, v]^T)

    In a depthwise convolution a channel sees nothing but itself, so each product is one of numbers.
    """

    def workspace(self, geometry: Geometry, channels: int, size: tuple[int, int]) -> int:
        return math.prod(geometry.padded_size(size)) * channels

    def work(self, geometry: Geometry, shape: Sequence[int], kernels: int) -> Passes:
        n, channels, *size = shape
        positions, inside = n * math.prod(geometry.output_size(size)), channels // geometry.groups
        if channels == kernels == geometry.groups:
            one = (moved(positions * channels, channels) + Work(calls=2)) * math.prod(geometry.kernel)
            return Passes(one, one * 2, one)
        products = multiplied(positions, inside, kernels // geometry.groups) * geometry.groups + Work(calls=2)
        if geometry.kernel == geometry.stride == (1, 1) and geometry.groups == 1:
            return Passes(products, products, products)
        seen, pixels = moved(positions * channels, inside), math.prod(geometry.kernel)
        forward = products + seen + Work(numbers=2 * positions * kernels)
        return Passes(forward * pixels, (products + seen) * pixels, (products + seen * 2) * pixels)

    def pack(self, weight: Tensor, geometry: Geometry) -> Tensor:
        per_group = weight.unflatten(0, (geometry.groups, -1))  # (g, O / g, C / g, *kernel)
        return per_group.permute(3, 4, 0, 1, 2).contiguous().mT  # (*kernel, g, C / g, O / g)

    def lay(self, x: Tensor, geometry: Geometry) -> Tensor:
        """Places images on their padding."""
        (top, _), (left, _) = geometry.padding
        return canvas(x, (top, left), geometry.padded_size(x.shape[1:3]))

    def forward(self, laid: Tensor, packed: Tensor, geometry: Geometry, out: Tensor) -> None:
        size = out.shape[1:3]
        _multiply(shift(laid, 0, 0, size, geometry.stride), packed[0, 0], out)
        for u, v in _pixels(geometry)[1:]:
            seen = shift(laid, u, v, size, geometry.stride, geometry.dilation)
            _add_product(out, seen, packed[u, v])

    def backward_input(self, grad: Tensor, packed: Tensor, geometry: Geometry, out: Tensor) -> None:
        ((top, _), (left, _)), size = geometry.padding, (out.shape[1], out.shape[2])
        if geometry.kernel == geometry.stride == (1, 1):
            if (top, left) == (0, 0) and size == grad.shape[1:3]:  # more pixels with an output_padding
                _multiply(grad, packed[0, 0].mT, out)
            else:
                out.copy_(canvas(_multiply(grad, packed[0, 0].mT), (-top, -left), size))
            return
        channels = geometry.groups * packed.shape[-2]
        padded = grad.new_zeros(len(grad), *geometry.padded_size(size), channels)
        for u, v in _pixels(geometry):
            seen = shift(padded, u, v, grad.shape[1:3], geometry.stride, geometry.dilation)
            _add_product(seen, grad, packed[u, v].mT)
        out.copy_(canvas(padded, (-top, -left), size))

    def backward_weight(
        self, grad: Tensor, laid: Tensor, geometry: Geometry, total: Tensor | None = None
    ) -> Tensor:
        given = grouped(grad, geometry.groups)  # (g, positions, O / g)
        products = []
        for u, v in _pixels(geometry):
            seen = shift(laid, u, v, grad.shape[1:3], geometry.stride, geometry.dilation)
            if laid.shape[-1] == grad.shape[-1] == geometry.groups:
                memory = scratch("convolution: patches", seen.shape, seen)
                products.append(torch.mul(seen, grad, out=memory).sum((0, 1, 2)).view(-1, 1, 1))
            else:
                products.append(product(given.mT, grouped(seen, geometry.groups)))
        stacked = torch.stack(products) if len(products) > 1 else products[0].unsqueeze(0)
        share = stacked.unflatten(0, geometry.kernel)  # (*kernel, g, O / g, C / g)
        return share if total is None else total.add_(share)

    def unpack_grad(self, grad_packed: Tensor, geometry: Geometry) -> Tensor:
        return grad_packed.permute(2, 3, 4, 0, 1).flatten(0, 1)


def _pixels(geometry: Geometry) -> list[tuple[int, int]]:
    """Returns the pixels (u, v) of the kernel."""
    return [(u, v) for u in range(geometry.kernel[0]) for v in range(geometry.kernel[1])]


def _add_product(total: Tensor, x: Tensor, weight: Tensor) -> None:
    """Adds to ``total`` the pixels of x times the weights (g, C / g, O / g) of their group."""
    if weight.shape[1:] == (1, 1):
        total.addcmul_(x, weight.flatten())
    else:
        total += _multiply(x, weight)


def _multiply(x: Tensor, weight: Tensor, out: Tensor | None = None) -> Tensor:
    """Returns the pixels of x times the weights (g, C / g, O / g) of their group: ``(n, H, W, O)``."""
    groups, channels, kernels = weight.shape
    if channels == kernels == 1:
        return torch.mul(x, weight.flatten(), out=out)
    out = x.new_empty(*x.shape[:3], groups * kernels) if out is None else out
    multiply_into(out, grouped(x, groups), weight)
    return out
