"""Convolution on a processor, by the algorithm that is fastest for its shape.

``im2col`` lays every window into the row of a matrix and multiplies once; ``cells`` does the same and hands
gradients back to whole cells of pixels; in ``strips`` windows overlap in memory, and less is copied.
``shifted`` shifts the image instead, and lays out nothing. ``winograd`` multiplies less, in tiles of 3 x 3,
4 x 4 or 7 x 7. ``selection`` picks one for each pass, and ``driver`` runs it, a block of images at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ds_core.kernels import branch, kernel
from torch import Tensor

from ds_cnn.functional.convolution import Saved, convolution
from ds_cnn.functional.geometry import Geometry
from ds_cnn.kernels.convolution.algorithm import Algorithm, Pass, half_round
from ds_cnn.kernels.convolution.driver import (
    blocks,
    convolve,
    convolve_and_backward_weight,
    convolve_backward_input,
    convolve_backward_weight,
)
from ds_cnn.kernels.convolution.im2col import narrow
from ds_cnn.kernels.convolution.selection import ALGORITHMS, select, select_both

__all__ = ["ALGORITHMS", "ConvolutionKernel", "select"]


@kernel(
    convolution,
    branches=(
        *(*ALGORITHMS, "narrow", "depthwise", "one block", "several blocks"),
        *("winograd, all kernels at a time", "winograd, some kernels at a time"),
        *("winograd, one tile", "winograd, several tiles", "both gradients"),
    ),
)
class ConvolutionKernel:
    """Takes and gives images in channels-last memory, so that none of them is copied on its way.

    Scaled are the kernels, anew in the backward, not what they give.
    """

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, scale: Tensor | None = None
    ) -> tuple[Tensor, Saved]:
        algorithm = _algorithm(geometry, x.shape, weight, "forward")
        y = convolve(x, _scaled(weight, scale), bias, geometry, algorithm)
        return y, Saved(x, weight, bias, geometry, scale)

    @staticmethod
    def backward(
        grad: Tensor, saved: Saved, *, wanted: tuple[bool, ...] | None = None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight, bias, geometry, scale = saved
        want_x, want_weight, want_bias = wanted or (True, True, bias is not None)
        grad_x, grad_weight = None, None
        weight = _scaled(weight, scale) if want_x else weight
        both = select_both(geometry, x.shape, weight.shape[0]) if want_x and want_weight else None
        if both is not None:
            grad_x, grad_weight = _both_gradients(grad, x, weight, both)
            want_x = want_weight = False
        if want_weight:
            algorithm = _algorithm(geometry, x.shape, weight, "weight")
            grad_weight = convolve_backward_weight(grad, x, geometry, algorithm)
        if want_x:
            algorithm = _algorithm(geometry, x.shape, weight, "input")
            grad_x = convolve_backward_input(grad, weight, geometry, (x.shape[2], x.shape[3]), algorithm)
        if grad_weight is not None:
            grad_weight = _scaled(grad_weight, scale, out=grad_weight)
        return grad_x, grad_weight, grad.sum((0, 2, 3)) if want_bias else None

    @staticmethod
    def second_backward(grad_grad: Tensor, grad: Tensor, saved: Saved) -> tuple[Tensor, Tensor]:
        _, weight, _, geometry, scale = saved
        weight = _scaled(weight, scale)
        forward = _algorithm(geometry, grad_grad.shape, weight, "forward")
        algorithm = _algorithm(geometry, grad_grad.shape, weight, "weight")
        y, grad_weight = convolve_and_backward_weight(grad_grad, weight, grad, geometry, forward, algorithm)
        return y, _scaled(grad_weight, scale, out=grad_weight)


def _scaled(weight: Tensor, scale: Tensor | None, out: Tensor | None = None) -> Tensor:
    """Returns scale W, as scale (W * x) = (scale W) * x; or of dL/d(scale W) dL/dW."""
    return weight if scale is None else torch.mul(weight, scale.view(-1, 1, 1, 1), out=out)


def _both_gradients(grad: Tensor, x: Tensor, weight: Tensor, geometry: Geometry) -> tuple[Tensor, Tensor]:
    """Returns dL/dx and dL/dweight from dL/dy, laid out once; the geometry is that of :func:`select_both`."""
    branch("ConvolutionKernel: both gradients")
    kernels = half_round(weight)
    algorithm = _algorithm(geometry, grad.shape, kernels, "forward")
    grad_x, grad_kernels = convolve_and_backward_weight(grad, kernels, x, geometry, algorithm, algorithm)
    return grad_x, half_round(grad_kernels).contiguous()


def _algorithm(geometry: Geometry, shape: Sequence[int], weight: Tensor, step: Pass) -> Algorithm:
    """Returns the algorithm of a pass over images of a shape, and says which branches it takes."""
    name = select(geometry, shape, weight.shape[0], step)
    branch(f"ConvolutionKernel: {name}")
    if name in ("im2col", "cells") and narrow(geometry, shape[1]):
        branch("ConvolutionKernel: narrow")
    if name == "shifted" and shape[1] == weight.shape[0] == geometry.groups:
        branch("ConvolutionKernel: depthwise")
    several = len(blocks(ALGORITHMS[name], geometry, shape, weight.numel())) > 1
    branch(f"ConvolutionKernel: {'several blocks' if several else 'one block'}")
    return ALGORITHMS[name]
