"""CenterCrop: the window in the middle."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ds_cnn.transforms.arguments import pair
from ds_cnn.transforms.crop import crop
from ds_cnn.transforms.transform import Transform


class CenterCrop(Transform):
    """Cuts the middle out of every image; one that is smaller gets zeros around it.

    Args:
        size: (height, width) of the window, or one number for both.

    Shape:
        ``(N, C, H, W)`` -> ``(N, C, height, width)``, or without N.

    Raises:
        ValueError: if the size is not what is said here.
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = pair(size, "CenterCrop: size")

    def apply(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        top, left = (
            round((have - want) / 2) if have >= want else -((want - have) // 2)
            for have, want in zip(images.shape[2:], self.size, strict=True)
        )
        each = torch.ones(len(images), dtype=torch.int64, device=images.device)
        return crop(images, top * each, left * each, self.size, "constant", images.new_zeros(1, 1, 1))

    def extra_repr(self) -> str:
        return f"{self.size}"
