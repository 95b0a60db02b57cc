"""Cutout: a square of each image hidden."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_cnn.images.transform import Transform, probability


class Cutout(Transform):
    """Hides a square of each image, so that no single detail can be relied on.

    The centre is drawn anywhere in the image; what would lie outside is cut off.

    Args:
        size: side of the square, in pixels.
        p: the probability that an image is touched at all.
        fill: what the square is filled with.

    Source: DeVries, Taylor, Improved Regularization of Convolutional Neural Networks with Cutout (2017),
    section 3.
    """

    def __init__(self, size: int, p: float = 1.0, fill: float = 0.0) -> None:
        if size < 1:
            raise ValueError(f"Cutout: expected a size of at least 1 pixel, got {size}")
        self.size = size
        self.p = probability("Cutout", p)
        self.fill = fill

    def apply(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        n, _, height, width = images.shape
        hidden = []
        for pixels in (height, width):
            start = (torch.rand(n, generator=generator) * pixels).floor()[:, None] - self.size // 2
            place = torch.arange(pixels)
            hidden.append((place >= start) & (place < start + self.size))  # (N, pixels)
        touched = torch.rand(n, generator=generator) < self.p
        square = hidden[0][:, :, None] & hidden[1][:, None, :] & touched[:, None, None]
        return images.masked_fill(square[:, None].to(images.device), self.fill)
