"""Conv2d: kernels that slide over images."""

from __future__ import annotations

from typing import final

import torch
from ds_core import InputGrad
from ds_core.kernels import dispatch
from torch import Tensor

from ds_cnn import functional
from ds_cnn.layers.convolution import Convolution, check_scaling

convolution, convolution_backward, convolution_second_backward = dispatch(
    functional.convolution, half=torch.float32, second=True, low=True
)
loop, loop_backward, loop_second_backward = dispatch(
    functional.convolution_loop, half=torch.float32, second=True
)
pad, pad_backward = dispatch(functional.pad)


@final
class Conv2d(Convolution):
    """Slides kernels over images; every output is the product of a kernel with the pixels it lies on.

    y[o, i, j] = b[o] + sum over c, u, v of W[o, c, u, v] x[c, i stride + u, j stride + v]

    With G = dL/dy:   dL/dW[o, c, u, v] = sum over i, j of G[o, i, j] x[c, i stride + u, j stride + v],
    dL/dx[c, i stride + u, j stride + v] += W[o, c, u, v] G[o, i, j],
    dL/db[o] = sum over i, j of G[o, i, j], summed over the batch (x is padded; u and v count
    in steps of ``dilation``).

    Args:
        in_channels: C, divisible by ``groups``.
        out_channels: O, the number of kernels, divisible by ``groups``.
        kernel_size: of the kernels, in pixels; here and below, one number or (vertical, horizontal).
        stride: pixels from one position to the next.
        padding: pixels added at each side; "same" for as many as keep the size, "valid" for none.
        dilation: distance between the pixels of one window; 1 means neighbours.
        groups: blocks of channels that do not see each other; with as many as channels, the convolution is
            called depthwise.
        bias: whether b is learned; if not, it is 0.
        padding_mode: what the added pixels hold: "zeros", "reflect" (mirrored at the edge pixel),
            "replicate" (the edge pixel) or "circular" (the other side of the image).
        algorithm: "loop" (the definition, slow), "im2col", "strips" (kernels above their stride), "shifted",
            "winograd" and "winograd3" (in tiles of 4 x 4 and of 3 x 3; 3x3 kernels of stride 1, and kernels
            of twice the stride), "winograd7" (only the latter), "cells" (kernels that are a multiple of the
            stride) or "auto", which picks one for each pass by its shape. All compute the same.
        device: of the parameters.
        dtype: of the parameters.
        init: initial W: a name or function of :mod:`ds_core.initializers`; None for torch.nn's default.
        generator: source of the initial values; None for torch's global one.

    Shape:
        x ``(N, C, H, W)`` or ``(C, H, W)`` -> ``(N, O, H', W')`` or ``(O, H', W')``, with
        ``H' = floor((H + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1``, in channels-last
        memory; weight ``(O, C / groups, *kernel_size)``, bias ``(O,)``.

    Raises:
        ValueError: if x has other dimensions or channels, or is smaller, padded, than the kernel.
        TypeError: if x has another dtype than the weight.

    Source: LeCun et al., Gradient-based learning applied to document recognition (1998), section II.A.
    """

    layout = ("C", "H", "W")

    def forward(self, input: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
        """Returns y; given numbers ``(O,)`` that nobody trains, y = scale (W * x) + shift, for b."""
        check_scaling(self, scale, shift)
        images, edges = self.images(input), None  # (N, C, H, W)
        if self.padding_mode != "zeros":
            images, edges = pad(images, self.edges, self.padding_mode)
        convolve = loop if self.algorithm == "loop" else convolution
        y, saved = convolve(images, self.weight, self.bias if shift is None else shift, self.geometry, scale)
        self.save(saved, edges, input.shape)
        return y.reshape(*input.shape[:-3], *y.shape[1:])

    def backward(self, grad: Tensor) -> InputGrad:
        saved, edges, shape = self.saved()
        wanted, grad = self.wants("input", "weight", "bias"), grad.reshape(-1, *grad.shape[-3:])
        convolve_backward = loop_backward if self.algorithm == "loop" else convolution_backward
        grad_x, grad_weight, grad_bias = convolve_backward(grad, saved, wanted=wanted)
        self.add_grad("weight", grad_weight)
        self.add_grad("bias", grad_bias)
        grad_x = grad_x if edges is None or grad_x is None else pad_backward(grad_x, edges)
        return grad_x if grad_x is None else grad_x.reshape(shape)

    def second_backward(self, grad_grad: Tensor) -> Tensor:
        grad, saved, edges, shape = self.kept_for_second()
        self.save_again(saved, edges, shape, grad_x=None)
        v, g = (t.reshape(-1, *t.shape[-3:]) for t in (grad_grad, grad))  # (N, C, H, W) and (N, O, H', W')
        if edges is not None:
            v, _ = pad(v, self.edges, self.padding_mode)
        again = loop_second_backward if self.algorithm == "loop" else convolution_second_backward
        grad_of_grad, grad_weight = again(v, g, saved)
        self.add_grad("weight", grad_weight)
        return grad_of_grad.reshape(grad.shape)
