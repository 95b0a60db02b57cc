"""RandomHorizontalFlip: left and right change places."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_cnn.transforms.arguments import probability, uniform
from ds_cnn.transforms.transform import Transform


class RandomHorizontalFlip(Transform):
    """Mirrors every image with probability p, so that left and right change places.

    Args:
        p: the probability.

    Shape:
        ``(N, C, H, W)`` -> the same, or without N.

    Raises:
        ValueError: if p is not from 0 to 1.
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(p, type(self).__name__)

    def apply(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        flipped = uniform(images, generator) < self.p  # (N,)
        return torch.where(flipped.view(-1, 1, 1, 1), images.flip(3), images)

    def extra_repr(self) -> str:
        return f"p={self.p}"
