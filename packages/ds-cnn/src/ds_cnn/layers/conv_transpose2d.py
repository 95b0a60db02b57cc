"""ConvTranspose2d: the backward of a convolution, used as a forward to make images larger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import final

import torch
from ds_core import InputGrad, Module
from ds_core.checks import shape
from ds_core.initializers import Init
from ds_core.kernels import dispatch
from torch import Tensor

from ds_cnn import functional
from ds_cnn.functional.geometry import Geometry
from ds_cnn.layers.convolution import (
    as_image,
    check_algorithm,
    check_channels,
    images_of,
    make_parameters,
    sizes,
)

conv_transpose, conv_transpose_backward = dispatch(functional.conv_transpose, half=torch.float32)
loop, loop_backward = dispatch(functional.conv_transpose_loop, half=torch.float32)


@final
class ConvTranspose2d(Module):
    """Stamps kernels onto an image, each pixel of the input saying how strongly; stamps that overlap add up.

    y[o, i stride + u, j stride + v] += W[c, o, u, v] x[c, i, j],   then + b[o]

    It maps as the gradient of the input of a Conv2d with this kernel, stride and padding maps (its matrix is
    the transpose); so its own gradients are that convolution, for x, and the convolution's weight gradient
    with the images exchanged, for W. With G = dL/dy:   dL/dx = conv(G, W),
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

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        output_padding: int | Sequence[int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | Sequence[int] = 1,
        padding_mode: str = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        algorithm: str = "auto",
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        name = type(self).__name__
        check_channels(name, in_channels, out_channels, groups)
        if padding_mode != "zeros":
            raise ValueError(f"{name}: expected padding_mode to be 'zeros', got {padding_mode!r}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = sizes(name, "kernel_size", kernel_size, 2)
        self.stride = sizes(name, "stride", stride, 2)
        self.padding = sizes(name, "padding", padding, 2, least=0)
        self.output_padding = sizes(name, "output_padding", output_padding, 2, least=0)
        self.groups = groups
        self.dilation = sizes(name, "dilation", dilation, 2)
        for extra, step, dilated in zip(self.output_padding, self.stride, self.dilation, strict=True):
            if extra >= max(step, dilated):
                raise ValueError(
                    f"{name}: expected output_padding less than stride or dilation, got "
                    f"{self.output_padding} with stride {self.stride} and dilation {self.dilation}"
                )
        self.geometry = Geometry(
            as_image(self.kernel_size, 1),
            as_image(self.stride, 1),
            tuple((pixels, pixels) for pixels in self.padding),  # type: ignore[arg-type]
            as_image(self.dilation, 1),
            groups,
            algorithm,
        )
        check_algorithm(name, self.geometry)
        self.algorithm = algorithm
        sizes_of_weight = in_channels, out_channels // groups, *self.kernel_size
        self.weight, bias_or_none = make_parameters(
            sizes_of_weight, out_channels if bias else None, device, dtype, init, generator
        )
        self.register_parameter("bias", bias_or_none)

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        images = images_of(self, input, ("C", "H", "W"), self.in_channels)
        size, geometry = self._output(input, output_size)
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

    def _output(self, x: Tensor, wanted: Sequence[int] | None) -> tuple[tuple[int, int], Geometry]:
        """Returns H' and W', and the convolution that leads from there exactly back to the size of x."""
        smallest = [
            (pixels - 1) * s - 2 * p + d * (k - 1) + 1
            for pixels, s, p, d, k in zip(
                x.shape[-2:], self.stride, self.padding, self.dilation, self.kernel_size, strict=True
            )
        ]
        if wanted is None:
            bottom, right = self.output_padding
        else:
            bottom, right = (a - b for a, b in zip(wanted[-2:], smallest, strict=True))
            if not (0 <= bottom < self.stride[0] and 0 <= right < self.stride[1]):
                largest = tuple(a + s - 1 for a, s in zip(smallest, self.stride, strict=True))
                raise ValueError(
                    f"{self.label()}: expected output_size from {tuple(smallest)} to {largest} for input "
                    f"of shape {shape(x)}, got {tuple(wanted)}"
                )
        height, width = smallest[0] + bottom, smallest[1] + right
        if min(height, width) < 1:
            raise ValueError(
                f"{self.label()}: expected larger input or less padding: from input of shape {shape(x)} the "
                f"result would be {height} x {width}"
            )
        # More pixels at the bottom and on the right are fewer that were cut off there.
        top, left = self.padding
        return (height, width), replace(self.geometry, padding=((top, top - bottom), (left, left - right)))

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )
        text += f", padding={self.padding}" if any(self.padding) else ""
        text += f", output_padding={self.output_padding}" if any(self.output_padding) else ""
        text += "" if self.groups == 1 else f", groups={self.groups}"
        text += "" if self.bias is not None else ", bias=False"
        text += "" if set(self.dilation) == {1} else f", dilation={self.dilation}"
        return text + ("" if self.algorithm == "auto" else f", algorithm={self.algorithm!r}")
