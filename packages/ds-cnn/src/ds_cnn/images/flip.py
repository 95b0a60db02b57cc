"""Flips: images mirrored at random."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_cnn.images.transform import Transform, probability


class RandomHorizontalFlip(Transform):
    """Mirrors each image left to right with probability p.

    Args:
        p: the probability.
    """

    dim = -1

    def __init__(self, p: float = 0.5) -> None:
        self.p = probability(type(self).__name__, p)

    def apply(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        flipped = torch.rand(len(images), generator=generator) < self.p
        return torch.where(flipped.view(-1, 1, 1, 1).to(images.device), images.flip(self.dim), images)


class RandomVerticalFlip(RandomHorizontalFlip):
    """Mirrors each image top to bottom with probability p."""

    dim = -2
