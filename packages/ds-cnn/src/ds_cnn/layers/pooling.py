"""What all pooling layers share: checks of what comes in, and the choice between loops and vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ds_core import InputGrad, Module
from ds_core.checks import check_floating, shape
from torch import Tensor

from ds_cnn.functional.pooling import loop
from ds_cnn.functional.pooling.regions import Bins, Windows
from ds_cnn.layers.convolution import sizes

ALGORITHMS = ("vectorised", "loop")


class Pooling(Module):
    """Base of the pooling layers: a subclass says how a region is summed up, by loops and at once."""

    regions: Windows | Bins
    algorithm: str

    def kind(self) -> loop.Kind:
        """Returns what the loops need to know: the value of a region and its gradient."""
        raise NotImplementedError

    def pool(self, x: Tensor) -> tuple[Tensor, Any]:
        """Returns the pooled images ``(N, C, H', W')`` and what :meth:`pool_backward` will need."""
        raise NotImplementedError

    def pool_backward(self, grad: Tensor, kept: Any, images_shape: torch.Size) -> Tensor:
        """Returns dL/dx, of the images' shape ``(N, C, H, W)``."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        images = self.images(x)
        if self.algorithm == "loop":
            y, kept = loop.pool(images, self.regions, self.kind()), images
        else:
            y, kept = self.pool(images)
        self.save(kept, images.shape, x.shape)
        return y.reshape(*x.shape[:-2], *y.shape[2:])

    def backward(self, grad: Tensor) -> InputGrad:
        kept, images_shape, x_shape = self.saved()
        if not self.input_grad:
            return None
        grad = grad.reshape(*images_shape[:2], *grad.shape[-2:])
        if self.algorithm == "loop":
            grad_x = loop.pool_backward(grad, kept, self.regions, self.kind())
        else:
            grad_x = self.pool_backward(grad, kept, images_shape)
        return grad_x.reshape(x_shape)

    def images(self, x: Tensor) -> Tensor:
        """Views the input, batched or not, as ``(N, C, H, W)``, and checks it.

        Raises:
            ValueError: if it has other dimensions, or no window fits.
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
        return x if x.dim() == 4 else x.unsqueeze(0)


def make_windows(
    name: str,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Windows:
    """Returns the windows that a layer's arguments describe; a stride of None is the kernel's size.

    Raises:
        ValueError: if an argument is out of range, or the padding more than half the kernel: then a window
            could lie wholly outside.
    """
    kernel = _two(sizes(name, "kernel_size", kernel_size, 2))
    pads = _two(sizes(name, "padding", padding, 2, least=0))
    if any(2 * pixels > size for pixels, size in zip(pads, kernel, strict=True)):
        raise ValueError(f"{name}: expected padding of at most half of kernel_size {kernel}, got {pads}")
    steps = kernel if stride is None else _two(sizes(name, "stride", stride, 2))
    return Windows(kernel, steps, pads, _two(sizes(name, "dilation", dilation, 2)), ceil_mode)


def make_bins(name: str, output_size: int | Sequence[int]) -> Bins:
    """Returns the bins that a layer's argument describes.

    Raises:
        ValueError: if it is out of range.
    """
    return Bins(_two(sizes(name, "output_size", output_size, 2)))


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
