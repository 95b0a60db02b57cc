"""PixelShuffle and its inverse: channels become pixels, pixels become channels."""

from __future__ import annotations

from ds_core import InputGrad, Module
from ds_core.checks import shape
from torch import Tensor


def shuffle(x: Tensor, factor: int) -> Tensor:
    """Turns every factor^2 channels into one with factor^2 as many pixels: ``(..., C r^2, H, W)``.

    y[c, i r + u, j r + v] = x[c r^2 + u r + v, i, j]
    """
    channels, height, width = x.shape[-3] // factor**2, x.shape[-2], x.shape[-1]
    parts = x.reshape(*x.shape[:-3], channels, factor, factor, height, width)
    interleaved = parts.movedim((-4, -3), (-3, -1))  # (..., C, H, r, W, r)
    return interleaved.reshape(*x.shape[:-3], channels, height * factor, width * factor)


def unshuffle(x: Tensor, factor: int) -> Tensor:
    """Undoes :func:`shuffle`: ``(..., C, H r, W r)`` -> ``(..., C r^2, H, W)``."""
    channels, height, width = x.shape[-3], x.shape[-2] // factor, x.shape[-1] // factor
    parts = x.reshape(*x.shape[:-3], channels, height, factor, width, factor)
    apart = parts.movedim((-3, -1), (-4, -3))  # (..., C, r, r, H, W)
    return apart.reshape(*x.shape[:-3], channels * factor**2, height, width)


class PixelShuffle(Module):
    """Turns every r^2 channels into one with r times as many rows and columns.

    y[c, i r + u, j r + v] = x[c r^2 + u r + v, i, j],   dL/dx = the same the other way round

    Args:
        upscale_factor: r.

    Shape:
        x ``(N, C r^2, H, W)`` or ``(C r^2, H, W)`` -> ``(N, C, H r, W r)`` or ``(C, H r, W r)``.

    Raises:
        ValueError: if the channels are not divisible by r^2.

    Source: Shi et al., Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
    Convolutional Neural Network (2016), equation 4.
    """

    def __init__(self, upscale_factor: int) -> None:
        if upscale_factor < 1:
            raise ValueError(f"PixelShuffle: expected upscale_factor of at least 1, got {upscale_factor}")
        self.upscale_factor = upscale_factor

    def forward(self, x: Tensor) -> Tensor:
        squared = self.upscale_factor**2
        if x.dim() < 3 or x.shape[-3] % squared:
            raise ValueError(
                f"{self.label()}: expected input of shape (..., C, H, W) with C divisible by {squared}, got "
                f"{shape(x)}"
            )
        self.save()
        return shuffle(x, self.upscale_factor)

    def backward(self, grad: Tensor) -> InputGrad:
        self.saved()
        return unshuffle(grad, self.upscale_factor) if self.input_grad else None

    def extra_repr(self) -> str:
        return f"{self.upscale_factor}"


class PixelUnshuffle(Module):
    """Turns every r x r pixels of a channel into r^2 channels with one pixel.

    y[c r^2 + u r + v, i, j] = x[c, i r + u, j r + v],   dL/dx = the same the other way round

    Args:
        downscale_factor: r.

    Shape:
        x ``(N, C, H r, W r)`` or ``(C, H r, W r)`` -> ``(N, C r^2, H, W)`` or ``(C r^2, H, W)``.

    Raises:
        ValueError: if height or width is not divisible by r.

    Source: as for :class:`PixelShuffle`.
    """

    def __init__(self, downscale_factor: int) -> None:
        if downscale_factor < 1:
            raise ValueError(
                f"PixelUnshuffle: expected downscale_factor of at least 1, got {downscale_factor}"
            )
        self.downscale_factor = downscale_factor

    def forward(self, x: Tensor) -> Tensor:
        factor = self.downscale_factor
        if x.dim() < 3 or x.shape[-2] % factor or x.shape[-1] % factor:
            raise ValueError(
                f"{self.label()}: expected input of shape (..., C, H, W) with H and W divisible by {factor}, "
                f"got {shape(x)}"
            )
        self.save()
        return unshuffle(x, factor)

    def backward(self, grad: Tensor) -> InputGrad:
        self.saved()
        return shuffle(grad, self.downscale_factor) if self.input_grad else None

    def extra_repr(self) -> str:
        return f"{self.downscale_factor}"
