"""The gradient of convolution's gradient, by loops and by products, in the order of :mod:`convolution`."""

from __future__ import annotations

from torch import Tensor

from ds_cnn.functional.convolution import Saved, convolution_loop, convolution_loop_backward
from ds_cnn.functional.geometry import images, kernels, positions_of, windows


def convolution_loop_second_backward(grad_grad: Tensor, grad: Tensor, saved: Saved) -> tuple[Tensor, Tensor]:
    """With s = sum of v dL/dx, v = grad_grad: v takes the place of x, in both.

    ds/dg[n, o, i, j] = sum over c, u, v of  weight[o, c, u, v]  v[n, c, i stride + u, j stride + v]
    ds/dweight[o, :, u, v] += g[n, o, i, j]  v[n, :, i stride + u, j stride + v],   ds/dx = 0
    """
    grad_of_grad, in_place_of_x = convolution_loop(grad_grad, saved.weight, None, *saved[3:])
    _, grad_weight, _ = convolution_loop_backward(grad, in_place_of_x)
    return grad_of_grad, grad_weight


def convolution_second_backward(grad_grad: Tensor, grad: Tensor, saved: Saved) -> tuple[Tensor, Tensor]:
    """With s = sum of v dL/dx, v = grad_grad, V its rows:   ds/dG = V W^T,   ds/dW = G^T V,   ds/dx = 0."""
    _, weight, _, geometry, scale = saved
    grad = grad if scale is None else grad * scale.view(-1, 1, 1)
    v = windows(grad_grad, geometry)  # (groups, N H' W', C / groups * kernel)
    g = positions_of(grad, geometry)
    grad_weight = (g.mT @ v).reshape(weight.shape)  # s = sum of V (G W), by W
    grad_of_grad = v @ kernels(weight, geometry).mT  # and by G
    grad_of_grad = images(grad_of_grad, len(grad), geometry.output_size(grad_grad.shape[2:]))
    return (grad_of_grad if scale is None else grad_of_grad * scale.view(-1, 1, 1)), grad_weight
