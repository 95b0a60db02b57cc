"""Cutout: a square taken out."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_cnn.images.augment.draw import Fill, pair, per_channel, whole
from ds_cnn.images.augment.erase import erase
from ds_cnn.images.augment.transform import Transform


class Cutout(Transform):
    """Paints over one square of every image, so that no single part of a thing can be relied upon.

    The centre may be any pixel; a square that reaches beyond the image hides less of it.

    Args:
        size: the side in pixels, or (height, width) of a rectangle.
        value: what is painted: one number, or one for each channel. After Normalize 0 is the mean colour.

    Shape:
        ``(N, C, H, W)`` -> the same, or without N.

    Raises:
        ValueError: if an argument is not what is said here.

    Source: DeVries, Taylor, Improved Regularization of Convolutional Neural Networks with Cutout (2017),
    section 3.2.
    """

    def __init__(self, size: int | tuple[int, int], value: Fill = 0.0) -> None:
        self.size = pair(size, "Cutout: size")
        self.value = value

    def apply(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        top = whole(images, generator, images.shape[2]) - self.size[0] // 2
        left = whole(images, generator, images.shape[3]) - self.size[1] // 2
        height, width = (torch.full_like(top, side) for side in self.size)
        value = per_channel(self.value, images, f"{self.label()}: value")
        return erase(images, top, left, height, width, value)

    def extra_repr(self) -> str:
        return f"{self.size}"
