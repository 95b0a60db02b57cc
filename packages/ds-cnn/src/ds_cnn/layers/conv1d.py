"""Conv1d: kernels that slide along sequences."""

from __future__ import annotations

from typing import final

import torch
from ds_core import InputGrad
from ds_core.kernels import dispatch
from torch import Tensor

from ds_cnn import functional
from ds_cnn.layers.convolution import Convolution

convolution, convolution_backward = dispatch(functional.convolution, half=torch.float32, low=True)
loop, loop_backward = dispatch(functional.convolution_loop, half=torch.float32)
pad, pad_backward = dispatch(functional.pad)


@final
class Conv1d(Convolution):
    """Slides kernels along sequences; :class:`~ds_cnn.layers.conv2d.Conv2d` of images with one row.

    y[o, i] = b[o] + sum over c, u of W[o, c, u] x[c, i stride + u]

    With G = dL/dy:   dL/dW[o, c, u] = sum over i of G[o, i] x[c, i stride + u],
    dL/dx[c, i stride + u] += W[o, c, u] G[o, i],   dL/db[o] = sum over i of G[o, i], summed over the batch.

    Args: as for Conv2d, with one number each.

    Shape:
        x ``(N, C, L)`` or ``(C, L)`` -> ``(N, O, L')`` or ``(O, L')``, with
        ``L' = floor((L + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1``; weight
        ``(O, C / groups, kernel_size)``, bias ``(O,)``.

    Raises:
        ValueError: if x has other dimensions or channels, or is shorter, padded, than the kernel.
        TypeError: if x has another dtype than the weight.

    Source: Waibel et al., Phoneme recognition using time-delay neural networks (1989), section II.
    """

    layout = ("C", "L")

    def forward(self, input: Tensor) -> Tensor:
        images, edges = self.images(input), None  # (N, C, 1, L)
        if self.padding_mode != "zeros":
            images, edges = pad(images, self.edges, self.padding_mode)
        convolve = loop if self.algorithm == "loop" else convolution
        y, saved = convolve(images, self.weight.unsqueeze(2), self.bias, self.geometry)
        self.save(saved, edges, input.shape)
        return y.reshape(*input.shape[:-2], *y.shape[1::2])

    def backward(self, grad: Tensor) -> InputGrad:
        saved, edges, shape = self.saved()
        wanted, grad = (
            self.wants("input", "weight", "bias"),
            grad.reshape(-1, len(self.weight), 1, grad.shape[-1]),
        )
        convolve_backward = loop_backward if self.algorithm == "loop" else convolution_backward
        grad_x, grad_weight, grad_bias = convolve_backward(grad, saved, wanted=wanted)
        self.add_grad("weight", grad_weight if grad_weight is None else grad_weight.squeeze(2))
        self.add_grad("bias", grad_bias)
        grad_x = grad_x if edges is None or grad_x is None else pad_backward(grad_x, edges)
        return grad_x if grad_x is None else grad_x.reshape(shape)
