"""ConvTranspose1d: the backward of a convolution of sequences, used as a forward to make them longer."""

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
class ConvTranspose1d(TransposedConvolution):
    """Stamps kernels onto sequences; :class:`~ds_cnn.layers.conv_transpose2d.ConvTranspose2d` with one row.

    y[o, i stride + u] += W[c, o, u] x[c, i],   then + b[o]

    With G = dL/dy:   dL/dx = conv(G, W),   dL/dW[c, o, u] = sum over i of x[c, i] G[o, i stride + u],
    dL/db[o] = sum over i of G[o, i], summed over the batch.

    Args: as for ConvTranspose2d, with one number each.

    Shape:
        x ``(N, C, L)`` or ``(C, L)`` -> ``(N, O, L')`` or ``(O, L')``, with
        ``L' = (L - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1``; weight
        ``(C, O / groups, kernel_size)``, bias ``(O,)``.

    Raises:
        ValueError: if x has other dimensions or channels, the result would be empty, or ``output_size`` is
            not one that the stride allows.
        TypeError: if x has another dtype than the weight.

    Source: as ConvTranspose2d.
    """

    layout = ("C", "L")

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        images = images_of(self, input, self.layout, self.in_channels)  # (N, C, 1, L)
        size, geometry = self.sized(input, output_size)
        stamp = loop if self.algorithm == "loop" else conv_transpose
        y, saved = stamp(images, self.weight.unsqueeze(2), self.bias, geometry, size)
        self.save(saved, input.shape)
        return y.reshape(*input.shape[:-2], *y.shape[1::2])

    def backward(self, grad: Tensor) -> InputGrad:
        saved, shape = self.saved()
        wanted = self.wants("input", "weight", "bias")
        grad = grad.reshape(-1, self.out_channels, 1, grad.shape[-1])
        stamp_backward = loop_backward if self.algorithm == "loop" else conv_transpose_backward
        grad_x, grad_weight, grad_bias = stamp_backward(grad, saved, wanted=wanted)
        self.add_grad("weight", grad_weight if grad_weight is None else grad_weight.squeeze(2))
        self.add_grad("bias", grad_bias)
        return grad_x if grad_x is None else grad_x.reshape(shape)
