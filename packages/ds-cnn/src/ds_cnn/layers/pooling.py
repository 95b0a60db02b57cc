"""What all pooling layers share: what their arguments mean, and checks of what comes in."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

from ds_core import Module
from ds_core.checks import check_floating, shape
from torch import Tensor

from ds_cnn.functional.regions import Bins, Windows
from ds_cnn.layers.convolution import sizes

ALGORITHMS = ("vectorised", "loop")


class Pooling(Module):
    """Base of the pooling layers: a subclass says which regions are summed up, and how."""

    regions: Windows | Bins
    algorithm: str

    def set_windows(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None,
        padding: int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        ceil_mode: bool = False,
    ) -> None:
        """Keeps the arguments, and the windows that they describe.

        Raises:
            ValueError: if one is out of range.
        """
        name, stride = type(self).__name__, kernel_size if stride is None else stride
        self.regions = make_windows(name, kernel_size, stride, padding, dilation, ceil_mode)
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding
        self.dilation, self.ceil_mode = dilation, ceil_mode

    def set_bins(self, output_size: int | Sequence[int | None] | None) -> None:
        """Keeps the argument, and the bins that it describes.

        Raises:
            ValueError: if it is out of range.
        """
        self.regions = make_bins(type(self).__name__, output_size)
        self.output_size = output_size

    def check(self, x: Tensor) -> None:
        """Checks that x is a batch of images, or one, of floating point, and large enough for a region.

        Raises:
            ValueError: if it has other dimensions, no window fits, or one has none of its pixels.
            TypeError: if it is not floating point.
        """
        if x.dim() not in (3, 4):
            raise ValueError(
                f"{self.label()}: expected input of shape (N, C, H, W) or (C, H, W), got {shape(x)}"
            )
        check_floating(self, x)
        height, width = x.shape[-2:]
        if min(self.regions.output_size((height, width))) < 1 or min(height, width) < 1:
            raise ValueError(
                f"{self.label()}: expected images at least as large, padded, as a window, got input of shape "
                f"{shape(x)}"
            )
        check_seen(self, self.regions, x, (height, width))


def check_seen(module: Module, regions: Windows | Bins, x: Tensor, size: tuple[int, int]) -> None:
    """Checks that every window has a pixel of images of this size.

    Raises:
        ValueError: if one lies in the padding with all its pixels, as it may where they are apart.
    """
    if isinstance(regions, Windows) and regions.blind(size):
        raise ValueError(
            f"{module.label()}: expected every window to have a pixel of the input, got dilation "
            f"{regions.dilation} and padding {regions.padding} for input of shape {shape(x)}"
        )


def make_windows(
    name: str,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int],
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Windows:
    """Returns the windows that a layer's arguments describe.

    Raises:
        ValueError: if an argument is out of range, or the padding more than half the kernel: then a window
            could lie wholly outside.
    """
    kernel = _two(sizes(name, "kernel_size", kernel_size, 2))
    pads = _two(sizes(name, "padding", padding, 2, least=0))
    for pixels, size in zip(pads, kernel, strict=True):
        if 2 * pixels > size:
            raise ValueError(f"{name}: expected padding of at most half of kernel_size {size}, got {pixels}")
    steps, gaps = _two(sizes(name, "stride", stride, 2)), _two(sizes(name, "dilation", dilation, 2))
    return Windows(kernel, steps, pads, gaps, ceil_mode)


def make_bins(name: str, output_size: int | Sequence[int | None] | None) -> Bins:
    """Returns the bins that a layer's argument describes; None for as many as there are pixels.

    Raises:
        ValueError: if it is out of range.
    """
    given = (
        (output_size,) * 2 if output_size is None or isinstance(output_size, (int, Integral)) else output_size
    )
    both = [None if count is None else int(count) for count in given]
    if len(both) != 2 or any(count is not None and count < 1 for count in both):
        raise ValueError(
            f"{name}: expected output_size to be a number or 2 of them, at least 1, got {output_size}; "
            "None stands for the input's size"
        )
    return Bins((both[0], both[1]))


def check_pooling_algorithm(name: str, algorithm: str) -> str:
    """Returns ``algorithm`` if it exists.

    Raises:
        ValueError: if not.
    """
    if algorithm not in ALGORITHMS:
        raise ValueError(
            f"{name}: expected algorithm to be one of {', '.join(ALGORITHMS)}, got {algorithm!r}"
        )
    return algorithm


def _two(numbers: tuple[int, ...]) -> tuple[int, int]:
    return numbers[0], numbers[1]
