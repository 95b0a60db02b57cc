"""What Conv1d and Conv2d share: one convolution of images, of which a sequence is one with a single row."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ds_core import InputGrad, Module, Parameter
from ds_core.checks import check_dtype, shape
from ds_core.initializers import Init, fans, initialize, torch_linear_bias_
from torch import Tensor

from ds_cnn.functional.convolution import (
    Geometry,
    check_algorithm,
    convolve,
    convolve_backward_input,
    convolve_backward_weight,
)
from ds_cnn.functional.padding import MODES, pad, pad_backward


class Convolution(Module):
    """Base of the convolutions, whose arguments and formulas :class:`~ds_cnn.layers.conv2d.Conv2d` explains.

    A subclass only says in ``layout`` what it takes: sequences ``("C", "L")`` or images ``("C", "H", "W")``.
    """

    layout: tuple[str, ...]
    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | str = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        algorithm: str = "auto",
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        name, dims = type(self).__name__, len(self.layout) - 1
        check_channels(name, in_channels, out_channels, groups)
        if padding_mode not in MODES:
            known = ", ".join(MODES)
            raise ValueError(f"{name}: expected padding_mode to be one of {known}, got {padding_mode!r}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = sizes(name, "kernel_size", kernel_size, dims)
        self.stride = sizes(name, "stride", stride, dims)
        self.padding = padding if isinstance(padding, str) else sizes(name, "padding", padding, dims, least=0)
        self.dilation = sizes(name, "dilation", dilation, dims)
        self.groups = groups
        self.padding_mode = padding_mode
        self.margins = self._margins()
        self.geometry = Geometry(
            as_image(self.kernel_size, 1),
            as_image(self.stride, 1),
            self.margins if padding_mode == "zeros" else ((0, 0), (0, 0)),
            as_image(self.dilation, 1),
            groups,
        )
        self.algorithm = check_algorithm(name, algorithm, self.geometry)
        self.weight = Parameter(torch.empty(out_channels, in_channels // groups, *self.kernel_size))
        initialize(self.weight, init, generator)
        self.register_parameter("bias", Parameter(torch.zeros(out_channels)) if bias else None)
        if self.bias is not None and init is None:
            torch_linear_bias_(self.bias, fans(self.weight)[0], generator)

    def forward(self, x: Tensor) -> Tensor:
        images = images_of(self, x, self.layout, self.in_channels)
        if self.padding_mode != "zeros":
            images = pad(images, (*self.margins[1], *self.margins[0]), self.padding_mode, name=self.label())
        check_fit(self, x, images, self.geometry)
        self.save(images, x.shape)
        y = convolve(images, self._kernels(), self.geometry, self.algorithm, self.bias)
        return y.reshape(*x.shape[: -len(self.layout)], self.out_channels, *y.shape[5 - len(self.layout) :])

    def backward(self, grad: Tensor) -> InputGrad:
        images, x_shape = self.saved()
        size = self.geometry.output_size(images.shape[2:])
        grad = grad.reshape(len(images), self.out_channels, *size)
        self.add_grad("weight", lambda: self._weight_grad(grad, images))
        self.add_grad("bias", lambda: grad.sum((0, 2, 3)))
        if not self.input_grad:
            return None
        grad_x = convolve_backward_input(
            grad, self._kernels(), self.geometry, images.shape[2:], self.algorithm
        )
        if self.padding_mode != "zeros":
            grad_x = pad_backward(grad_x, (*self.margins[1], *self.margins[0]), self.padding_mode)
        return grad_x.reshape(x_shape)

    def _kernels(self) -> Tensor:
        return self.weight.view(*self.weight.shape[:2], *self.geometry.kernel)

    def _weight_grad(self, grad: Tensor, images: Tensor) -> Tensor:
        return convolve_backward_weight(grad, images, self.geometry, self.algorithm).view_as(self.weight)

    def _margins(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Returns how many pixels are added: ((top, bottom), (left, right))."""
        if isinstance(self.padding, tuple):
            vertical, horizontal = as_image(self.padding, 0)
            return (vertical, vertical), (horizontal, horizontal)
        if self.padding == "valid":
            return (0, 0), (0, 0)
        name = type(self).__name__
        if self.padding != "same":
            raise ValueError(f"{name}: expected padding in pixels, 'same' or 'valid', got {self.padding!r}")
        if set(self.stride) != {1}:
            raise ValueError(f"{name}: expected stride 1 with padding='same', got {self.stride}")
        spans = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
        vertical, horizontal = as_image(spans, 0)
        # Of an odd number of pixels, the end gets one more, as in torch.nn.
        return (vertical // 2, vertical - vertical // 2), (horizontal // 2, horizontal - horizontal // 2)

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )
        if isinstance(self.padding, str) or any(self.padding):
            text += f", padding={self.padding!r}"
        text += "" if set(self.dilation) == {1} else f", dilation={self.dilation}"
        text += "" if self.groups == 1 else f", groups={self.groups}"
        text += "" if self.bias is not None else ", bias=False"
        text += "" if self.padding_mode == "zeros" else f", padding_mode={self.padding_mode!r}"
        return text + ("" if self.algorithm == "auto" else f", algorithm={self.algorithm!r}")


def check_channels(name: str, in_channels: int, out_channels: int, groups: int) -> None:
    """Holds the channels to numbers that the groups divide.

    Raises:
        ValueError: if they are not positive, or not divisible.
    """
    if in_channels < 1 or out_channels < 1 or groups < 1:
        raise ValueError(
            f"{name}: expected in_channels, out_channels and groups of at least 1, got {in_channels}, "
            f"{out_channels} and {groups}"
        )
    if in_channels % groups or out_channels % groups:
        raise ValueError(
            f"{name}: expected in_channels and out_channels to be divisible by groups={groups}, "
            f"got {in_channels} and {out_channels}"
        )


def sizes(name: str, argument: str, value: int | Sequence[int], dims: int, least: int = 1) -> tuple[int, ...]:
    """Returns one number for each dimension; a single number stands for all.

    Raises:
        ValueError: if there are more or fewer numbers than dimensions, or one is less than ``least``.
    """
    numbers = (value,) * dims if isinstance(value, int) else tuple(int(number) for number in value)
    if len(numbers) != dims or min(numbers) < least:
        count = "a number or a sequence of one" if dims == 1 else f"a number or {dims} of them"
        raise ValueError(f"{name}: expected {argument} to be {count}, at least {least}, got {value}")
    return numbers


def as_image(numbers: Sequence[int], single_row: int) -> tuple[int, int]:
    """Returns (vertical, horizontal); a sequence is an image of one row, which takes ``single_row``."""
    return (single_row, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])


def images_of(module: Module, x: Tensor, layout: tuple[str, ...], channels: int) -> Tensor:
    """Views a layer's input, batched or not, sequence or image, as ``(N, C, H, W)``.

    Raises:
        ValueError: if it has other dimensions than ``layout``, or another number of channels.
        TypeError: if it has another dtype than the weight.
    """
    dims = len(layout)
    if x.dim() not in (dims, dims + 1) or x.shape[-dims] != channels:
        expected = ", ".join(layout).replace("C", str(channels))
        raise ValueError(
            f"{module.label()}: expected input of shape (N, {expected}) or ({expected}), got {shape(x)}"
        )
    check_dtype(module, x, module.weight.dtype)  # type: ignore[attr-defined]
    batch = len(x) if x.dim() > dims else 1
    return x.reshape(batch, channels, *as_image(x.shape[1 - dims :], 1))


def check_fit(module: Module, x: Tensor, images: Tensor, geometry: Geometry) -> None:
    """Holds the kernel to the size of the padded images.

    Raises:
        ValueError: if the kernel does not fit even once.
    """
    if min(geometry.output_size(images.shape[2:])) < 1:
        spans = tuple(d * (k - 1) + 1 for d, k in zip(geometry.dilation, geometry.kernel, strict=True))
        raise ValueError(
            f"{module.label()}: expected padded input of at least {spans[0]} x {spans[1]} pixels, the span "
            f"of the kernel, got input of shape {shape(x)}, "
            f"{' x '.join(str(pixels) for pixels in geometry.padded_size(images.shape[2:]))} with padding"
        )
