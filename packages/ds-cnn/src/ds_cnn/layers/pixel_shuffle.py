"""PixelShuffle and its inverse: channels become pixels, pixels become channels."""

from __future__ import annotations

from typing import final

from ds_core import InputGrad, Module
from ds_core.checks import shape
from ds_core.kernels import dispatch
from torch import Tensor

from ds_cnn import functional

pixel_shuffle, pixel_shuffle_backward = dispatch(functional.pixel_shuffle)
pixel_unshuffle, pixel_unshuffle_backward = dispatch(functional.pixel_unshuffle)


@final
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

    def forward(self, input: Tensor) -> Tensor:
        squared = self.upscale_factor**2
        if input.dim() < 3 or input.shape[-3] % squared:
            raise ValueError(
                f"{self.label()}: expected input of shape (..., C, H, W) with C divisible by {squared}, got "
                f"{shape(input)}"
            )
        y, saved = pixel_shuffle(input, self.upscale_factor)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return pixel_shuffle_backward(grad, saved) if self.input_grad else None

    def extra_repr(self) -> str:
        return f"{self.upscale_factor}"


@final
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

    def forward(self, input: Tensor) -> Tensor:
        factor = self.downscale_factor
        if input.dim() < 3 or input.shape[-2] % factor or input.shape[-1] % factor:
            raise ValueError(
                f"{self.label()}: expected input of shape (..., C, H, W) with H and W divisible by {factor}, "
                f"got {shape(input)}"
            )
        y, saved = pixel_unshuffle(input, self.downscale_factor)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return pixel_unshuffle_backward(grad, saved) if self.input_grad else None

    def extra_repr(self) -> str:
        return f"{self.downscale_factor}"
