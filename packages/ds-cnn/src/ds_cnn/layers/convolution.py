"""What Conv1d and Conv2d share: one convolution of images, of which a sequence is one with a single row."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import torch
from ds_core import Module, Parameter
from ds_core.checks import check_dtype, shape
from ds_core.initializers import Init, fans, initialize, torch_linear_bias_
from torch import Tensor

from ds_cnn.functional.geometry import Geometry
from ds_cnn.kernels.convolution import ALGORITHMS

MODES = ("zeros", "reflect", "replicate", "circular")


class Convolution(Module):
    """Base of Conv1d and Conv2d: their arguments, which :class:`~ds_cnn.layers.conv2d.Conv2d` explains.

    A subclass says in ``layout`` what it takes: sequences ``("C", "L")`` or images ``("C", "H", "W")``.
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
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
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
        margins, none = self._margins(), ((0, 0), (0, 0))
        self.edges = (*margins[1], *margins[0])  # of padding that is not zeros: (left, right, top, bottom)
        self.geometry = Geometry(
            as_image(self.kernel_size, 1),
            as_image(self.stride, 1),
            margins if padding_mode == "zeros" else none,
            as_image(self.dilation, 1),
            groups,
            algorithm,
        )
        check_algorithm(name, self.geometry)
        self.algorithm = algorithm
        sizes_of_weight = out_channels, in_channels // groups, *self.kernel_size
        self.weight, bias_or_none = make_parameters(
            sizes_of_weight, out_channels if bias else None, device, dtype, init, generator
        )
        self.register_parameter("bias", bias_or_none)

    def images(self, x: Tensor) -> Tensor:
        """Checks the input and views it, batched or not, sequence or image, as ``(N, C, H, W)``.

        Raises:
            ValueError: if it has other dimensions or channels, or fewer pixels than the kernel or the padding
                needs.
            TypeError: if it has another dtype than the weight.
        """
        images = images_of(self, x, self.layout, self.in_channels)
        size: Sequence[int] = images.shape[2:]
        if self.padding_mode != "zeros":
            size = check_padding(self, x, (images.shape[2], images.shape[3]), self.edges, self.padding_mode)
        check_fit(self, x, size, self.geometry)
        return images

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
    """Checks that the groups divide the channels.

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
    given = (value,) * dims if isinstance(value, (int, Integral)) else value  # of numpy, too
    numbers = tuple(map(int, given))
    if len(numbers) != dims or min(numbers) < least:
        count = "a number or a sequence of one" if dims == 1 else f"a number or {dims} of them"
        raise ValueError(f"{name}: expected {argument} to be {count}, at least {least}, got {value}")
    return numbers


def check_algorithm(name: str, geometry: Geometry) -> None:
    """Checks that there is such an algorithm and that it can do such convolutions.

    Raises:
        ValueError: if not; begins with ``name``, that of the layer.
    """
    algorithm, known = geometry.algorithm, ("loop", *ALGORITHMS, "auto")
    if algorithm not in known:
        raise ValueError(f"{name}: expected algorithm to be one of {', '.join(known)}, got {algorithm!r}")
    if algorithm in ALGORITHMS and not ALGORITHMS[algorithm].supports(geometry):
        raise ValueError(
            f"{name}: expected {ALGORITHMS[algorithm].needs} with algorithm={algorithm!r}, got kernel_size "
            f"{geometry.kernel}, stride {geometry.stride}, dilation {geometry.dilation} and groups "
            f"{geometry.groups}"
        )


def make_parameters(
    shape: tuple[int, ...],
    biases: int | None,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
    init: Init | None,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor | None]:
    """Returns the weight and, if any are wanted, the biases: as in torch.nn, or by ``init`` and 0."""
    weight = Parameter(torch.empty(shape, device=device, dtype=dtype))
    initialize(weight, init, generator)
    if biases is None:
        return weight, None
    bias = Parameter(torch.zeros(biases, device=device, dtype=dtype))
    if init is None:
        torch_linear_bias_(bias, fans(weight)[0], generator)
    return weight, bias


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
    if x.dim() == 4:
        return x  # and no view of it: of a tensor that can be made again, a module keeps nothing
    batch = x.shape[0] if x.dim() > dims else 1
    return x.reshape(batch, channels, *as_image(x.shape[1 - dims :], 1))


def check_fit(module: Module, x: Tensor, size: Sequence[int], geometry: Geometry) -> None:
    """Checks that the kernel fits on the padded images.

    Raises:
        ValueError: if the kernel does not fit even once.
    """
    if min(geometry.output_size(size)) < 1:
        spans = geometry.span
        raise ValueError(
            f"{module.label()}: expected padded input of at least {spans[0]} x {spans[1]} pixels, the span "
            f"of the kernel, got input of shape {shape(x)}, "
            f"{' x '.join(str(pixels) for pixels in geometry.padded_size(size))} with padding"
        )


def check_scaling(module: Convolution, scale: Tensor | None, shift: Tensor | None) -> None:
    """Checks numbers of the output's channels.

    Raises:
        ValueError: if they are not one for each, or the layer has a bias, whose place the shift takes.
        TypeError: if they have another dtype than the weight.
    """
    for name, numbers in (("scale", scale), ("shift", shift)):
        if numbers is None:
            continue
        if tuple(numbers.shape) != (module.out_channels,):
            raise ValueError(
                f"{module.label()}: expected {name} of shape ({module.out_channels},), a number for each "
                f"channel of the output, got {shape(numbers)}"
            )
        if numbers.dtype != module.weight.dtype:
            raise TypeError(
                f"{module.label()}: expected {name} of {module.weight.dtype} like the weight, got "
                f"{numbers.dtype}"
            )
    if shift is not None and module.bias is not None:
        raise ValueError(f"{module.label()}: expected no shift, as there is a bias, whose place it takes")


def check_padding(
    module: Module, x: Tensor, size: tuple[int, int], padding: tuple[int, int, int, int], mode: str
) -> tuple[int, int]:
    """Returns height and width of images of a size once they are padded; x is what they were given as.

    Raises:
        ValueError: if nothing would be left, more be cut off than there is, or there are too few pixels to
            mirror or to repeat.
    """
    (left, right, top, bottom), (height, width) = padding, size
    padded = top + height + bottom, left + width + right
    kept = min(top, 0) + height + min(bottom, 0), min(left, 0) + width + min(right, 0)
    if min(padded) < 1 or min(kept) < 0:
        raise ValueError(
            f"{module.label()}: expected input of which the padding leaves something, got {shape(x)}"
        )
    if mode == "zeros":
        return padded
    for pixels, before, after in ((height, top, bottom), (width, left, right)):
        most = {"reflect": pixels - 1, "circular": pixels, "replicate": max(before, after)}[mode]
        if min(before, after) < 0 or max(before, after) > most or pixels < 1:
            raise ValueError(
                f"{module.label()}: expected from 0 to {max(0, most)} pixels of padding for a dimension of "
                f"{pixels} with padding_mode={mode!r}, got {before} and {after}"
            )
    return padded
