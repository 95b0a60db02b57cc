"""ConvTranspose2d: the backward of a convolution, used as a forward to make images larger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from ds_core import InputGrad
from ds_core.kernels import dispatch
from torch import Tensor

from ds_cnn import functional
from ds_cnn.layers.convolution import images_of
from ds_cnn.layers.transposed_convolution import TransposedConvolution

conv_transpose, conv_transpose_backward = dispatch(functional.conv_transpose, half=torch.float32, low=True)
loop, loop_backward = dispatch(functional.conv_transpose_loop, half=torch.float32)


@final
class ConvTranspose2d(TransposedConvolution):
    """Stamps kernels onto an image, each pixel of the input saying how strongly; stamps that overlap add up.

    y[o, i stride + u, j stride + v] += W[c, o, u, v] x[c, i, j],   then + b[o]

    It maps as the gradient of the input of a Conv2d with this kernel, stride and padding maps (its matrix is
    the transpose); so its own gradients are that convolution, for x, and the convolution's weight gradient
    with the images exchanged, for W.

    With G = dL/dy:   dL/dx = conv(G, W),
    dL/dW[c, o, u, v] = sum over i, j of x[c, i, j] G[o, i stride + u, j stride + v],
    dL/db[o] = sum over i, j of G[o, i, j].

    Args:
        in_channels: C, divisible by ``groups``.
        out_channels: O, divisible by ``groups``.
        kernel_size: of the stamps, in pixels; here and below, one number or (vertical, horizontal).
        stride: pixels from one stamp to the next.
        padding: pixels cut off at each side of the result.
        output_padding: pixels added to the result at the bottom and on the right. With a stride, convolutions
            of several sizes give the same size; this picks one. Less than the stride or the dilation.
        groups: blocks of channels that do not see each other.
        bias: whether b is learned; if not, it is 0.
        dilation: distance between the pixels of a stamp.
        padding_mode: "zeros", the only one.
        device: of the parameters.
        dtype: of the parameters.
        algorithm: as for Conv2d.
        init: initial W: a name or function of :mod:`ds_core.initializers`; None for torch.nn's default.
        generator: source of the initial values; None for torch's global one.

    Shape:
        x ``(N, C, H, W)`` or ``(C, H, W)`` -> ``(N, O, H', W')`` or ``(O, H', W')``, with
        ``H' = (H - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1``; weight
        ``(C, O / groups, *kernel_size)``, bias ``(O,)``.

    Raises:
        ValueError: if x has other dimensions or channels, the result would be empty, or ``output_size`` is
            not one that the stride allows.
        TypeError: if x has another dtype than the weight.

    Source: Zeiler et al., Deconvolutional Networks (2010), section 2; Dumoulin, Visin, A guide to convolution
    arithmetic for deep learning (2016), chapter 4.
    """

    layout = ("C", "H", "W")

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        images = images_of(self, input, self.layout, self.in_channels)
        size, geometry = self.sized(input, output_size)
        stamp = loop if self.algorithm == "loop" else conv_transpose
        y, saved = stamp(images, self.weight, self.bias, geometry, size)
        self.save(saved, input.shape)
        return y.reshape(*input.shape[:-3], *y.shape[1:])

    def backward(self, grad: Tensor) -> InputGrad:
        saved, shape = self.saved()
        wanted, grad = self.wants("input", "weight", "bias"), grad.reshape(-1, *grad.shape[-3:])
        stamp_backward = loop_backward if self.algorithm == "loop" else conv_transpose_backward
        grad_x, grad_weight, grad_bias = stamp_backward(grad, saved, wanted=wanted)
        self.add_grad("weight", grad_weight)
        self.add_grad("bias", grad_bias)
        return grad_x if grad_x is None else grad_x.reshape(shape)
