"""Cutout: a square taken out."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_cnn.transforms.arguments import Fill, pair, per_channel, probability, uniform, whole
from ds_cnn.transforms.erase import erase
from ds_cnn.transforms.transform import Transform


class Cutout(Transform):
    """Hides a square of every image with probability p, so that no single part of a thing can be relied upon.

    The centre may be any pixel; a square that reaches beyond the image hides less of it.

    Args:
        size: the side in pixels, or (height, width) of a rectangle.
        p: the probability.
        fill: what the square holds: one number, or one for each channel. After Normalize 0 is the mean
            colour.

    Shape:
        ``(N, C, H, W)`` -> the same, or without N.

    Raises:
        ValueError: if an argument is not what is said here.

    Source: DeVries, Taylor, Improved Regularization of Convolutional Neural Networks with Cutout (2017),
    section 3.2.
    """

    def __init__(self, size: int | tuple[int, int], p: float = 1.0, fill: Fill = 0.0) -> None:
        self.size = pair(size, "Cutout: size")
        self.p = probability(p, "Cutout")
        self.fill = fill

    def apply(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        top = whole(images, generator, images.shape[2]) - self.size[0] // 2
        left = whole(images, generator, images.shape[3]) - self.size[1] // 2
        height = self.size[0] * (uniform(images, generator) < self.p)  # 0 where nothing is hidden
        width = torch.full_like(left, self.size[1])
        fill = per_channel(self.fill, images, f"{self.label()}: fill")
        return erase(images, top, left, height, width, fill)

    def extra_repr(self) -> str:
        return f"{self.size}" + (f", p={self.p}" if self.p < 1 else "")
