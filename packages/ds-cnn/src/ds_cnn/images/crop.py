"""Crops: a part of each image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ds_core.checks import shape
from torch import Tensor

from ds_cnn.functional.windows import pair
from ds_cnn.images.transform import Transform


class CenterCrop(Transform):
    """Keeps the middle of each image.

    Args:
        size: height and width to keep, or one number for both.
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = pair(size, "CenterCrop: size")

    def apply(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        height, width = self.size
        _check_room(self, images, images.shape[2], images.shape[3], self.size)
        top, left = (images.shape[2] - height) // 2, (images.shape[3] - width) // 2
        return images[:, :, top : top + height, left : left + width].clone()


class RandomCrop(Transform):
    """Keeps a part of each image, anywhere; with padding, it may lie partly outside.

    Args:
        size: height and width to keep, or one number for both.
        padding: pixels of ``fill`` added at each side first.
        fill: what the added pixels hold.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int = 0,
        fill: float = 0.0,
    ) -> None:
        self.size = pair(size, "RandomCrop: size")
        self.padding = padding
        self.fill = fill

    def apply(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        n, channels, height, width = images.shape
        p = self.padding
        padded = images.new_full((n, channels, height + 2 * p, width + 2 * p), self.fill)
        padded[:, :, p : p + height, p : p + width] = images
        _check_room(self, images, height + 2 * p, width + 2 * p, self.size)
        tops, lefts = (
            (torch.rand(n, generator=generator) * (room + 2 * p - size + 1)).long()
            for room, size in zip((height, width), self.size, strict=True)
        )
        rows = tops[:, None] + torch.arange(self.size[0])  # (N, height)
        columns = lefts[:, None] + torch.arange(self.size[1])  # (N, width)
        image = torch.arange(n)[:, None, None]
        cropped = padded.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]]
        return cropped.permute(0, 3, 1, 2).contiguous()


def _check_room(transform: Transform, images: Tensor, height: int, width: int, size: tuple[int, int]) -> None:
    if size[0] > height or size[1] > width or min(size) < 1:
        raise ValueError(f"{transform!r}: expected images of at least {size} pixels, got {shape(images)}")
