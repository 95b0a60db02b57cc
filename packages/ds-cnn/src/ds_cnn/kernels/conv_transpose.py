"""Transposed convolution on a processor: the gradients of a convolution, by its algorithms."""

from __future__ import annotations

from ds_core.kernels import kernel
from torch import Tensor

from ds_cnn.functional.conv_transpose import Saved, conv_transpose
from ds_cnn.functional.geometry import Geometry
from ds_cnn.kernels.convolution.driver import (
    convolve,
    convolve_and_backward_weight,
    convolve_backward_input,
    convolve_backward_weight,
)
from ds_cnn.kernels.convolution.selection import ALGORITHMS, select


@kernel(conv_transpose)
class ConvTransposeKernel:
    """Its forward is a convolution's backward to the images, and the other way round."""

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, size: tuple[int, int]
    ) -> tuple[Tensor, Saved]:
        images = (x.shape[0], weight.shape[1] * geometry.groups, *size)
        algorithm = ALGORITHMS[select(geometry, images, weight.shape[0], "input")]
        y = convolve_backward_input(x, weight, geometry, size, algorithm)
        y = y if bias is None else y.add_(bias.view(-1, 1, 1))
        return y, Saved(x, weight, bias, geometry)

    @staticmethod
    def backward(
        grad: Tensor, saved: Saved, *, wanted: tuple[bool, ...] | None = None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight, bias, geometry = saved
        want_x, want_weight, want_bias = wanted or (True, True, bias is not None)
        grad_x, grad_weight = None, None
        forward = ALGORITHMS[select(geometry, grad.shape, weight.shape[0], "forward")]
        algorithm = ALGORITHMS[select(geometry, grad.shape, weight.shape[0], "weight")]
        if want_x and want_weight:
            grad_x, grad_weight = convolve_and_backward_weight(grad, weight, x, geometry, forward, algorithm)
        elif want_weight:
            grad_weight = convolve_backward_weight(x, grad, geometry, algorithm)
        elif want_x:
            grad_x = convolve(grad, weight, None, geometry, forward)
        return grad_x, grad_weight, grad.sum((0, 2, 3)) if want_bias else None
