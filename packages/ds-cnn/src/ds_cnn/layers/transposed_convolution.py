"""What ConvTranspose1d and ConvTranspose2d share: stamps on images; a sequence is one with a single row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from ds_core import Module
from ds_core.checks import shape
from ds_core.initializers import Init
from torch import Tensor

from ds_cnn.functional.geometry import Geometry
from ds_cnn.layers.convolution import as_image, check_algorithm, check_channels, make_parameters, sizes


class TransposedConvolution(Module):
    """Base of ConvTranspose1d and ConvTranspose2d: their arguments, which the latter explains.

    A subclass says in ``layout`` what it takes: sequences ``("C", "L")`` or images ``("C", "H", "W")``.
    """

    output_dim: ClassVar[int] = 1  # in which dimension of the weight the outputs are
    layout: tuple[str, ...]
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
        name, dims = type(self).__name__, len(self.layout) - 1
        check_channels(name, in_channels, out_channels, groups)
        if padding_mode != "zeros":
            raise ValueError(f"{name}: expected padding_mode to be 'zeros', got {padding_mode!r}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = sizes(name, "kernel_size", kernel_size, dims)
        self.stride = sizes(name, "stride", stride, dims)
        self.padding = sizes(name, "padding", padding, dims, least=0)
        self.output_padding = sizes(name, "output_padding", output_padding, dims, least=0)
        self.groups = groups
        self.padding_mode = padding_mode
        self.dilation = sizes(name, "dilation", dilation, dims)
        for extra, step, dilated in zip(self.output_padding, self.stride, self.dilation, strict=True):
            if extra >= max(step, dilated):
                raise ValueError(
                    f"{name}: expected output_padding less than stride or dilation, got "
                    f"{self.output_padding} with stride {self.stride} and dilation {self.dilation}"
                )
        self.geometry = Geometry(
            as_image(self.kernel_size, 1),
            as_image(self.stride, 1),
            tuple((pixels, pixels) for pixels in as_image(self.padding, 0)),  # type: ignore[arg-type]
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

    def sized(self, x: Tensor, wanted: Sequence[int] | None) -> tuple[tuple[int, int], Geometry]:
        """Returns H' and W', and the convolution that leads from there exactly back to the size of x.

        Raises:
            ValueError: if x has no pixels, the stride does not allow the size that is wanted, or the result
                would be empty.
        """
        dims = len(self.layout) - 1
        if min(x.shape[-dims:]) < 1:
            raise ValueError(f"{self.label()}: expected input of at least one pixel, got shape {shape(x)}")
        smallest = [
            (pixels - 1) * s - 2 * p + d * (k - 1) + 1
            for pixels, s, p, d, k in zip(
                x.shape[-dims:], self.stride, self.padding, self.dilation, self.kernel_size, strict=True
            )
        ]
        if wanted is None:
            added = self.output_padding
        else:
            if len(wanted) not in (dims, x.dim()):
                raise ValueError(
                    f"{self.label()}: expected output_size of {dims} numbers, got {tuple(wanted)}"
                )
            added = tuple(a - b for a, b in zip(wanted[-dims:], smallest, strict=True))
            if not all(0 <= extra < step for extra, step in zip(added, self.stride, strict=True)):
                largest = tuple(a + s - 1 for a, s in zip(smallest, self.stride, strict=True))
                raise ValueError(
                    f"{self.label()}: expected output_size from {tuple(smallest)} to {largest} for input "
                    f"of shape {shape(x)}, got {tuple(wanted)}"
                )
        size = tuple(least + extra for least, extra in zip(smallest, added, strict=True))
        if min(size) < 1:
            raise ValueError(
                f"{self.label()}: expected larger input or less padding: from input of shape {shape(x)} the "
                f"result would be {' x '.join(map(str, size))}"
            )
        # More pixels at the bottom and on the right are fewer that were cut off there.
        (top, left), (bottom, right) = as_image(self.padding, 0), as_image(added, 0)
        return as_image(size, 1), replace(self.geometry, padding=((top, top - bottom), (left, left - right)))

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
