"""Resize: more pixels or fewer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ds_core.checks import shape
from torch import Tensor

from ds_cnn.transforms.arguments import pair
from ds_cnn.transforms.transform import Transform


class Resize(Transform):
    """Gives every image another number of pixels, each a weighted mean of old pixels nearby.

    y = R x C^T,   R[i, j] = max(0, 1 - |p_i - j| / r) over the sum of its row,   p_i = (i + 1/2) H / h - 1/2

    for the H rows of x and the h rows of y; C is the same for columns. The reach r is 1, which is bilinear
    interpolation; where images shrink, it is H / h, so that every old pixel counts.

    Args:
        size: (height, width); or one number for the shorter side, the other one in proportion.
        antialias: whether the reach grows where images shrink.

    Shape:
        ``(N, C, H, W)`` -> ``(N, C, height, width)``, or without N.

    Raises:
        ValueError: if the size is not what is said here, or an image has no pixels.
    """

    def __init__(self, size: int | Sequence[int], *, antialias: bool = True) -> None:
        pair(size, "Resize: size")
        self.size = size
        self.antialias = antialias

    def apply(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        high, wide = images.shape[2:]
        if not high or not wide:
            raise ValueError(f"{self.label()}: expected images with pixels, got {shape(images)}")
        if isinstance(self.size, int):
            shorter = min(high, wide)
            height, width = self.size * high // shorter, self.size * wide // shorter
        else:
            height, width = self.size
        rows = weights(high, height, self.antialias).to(images)  # (h, H)
        columns = weights(wide, width, self.antialias).to(images)  # (w, W)
        return rows @ (images @ columns.T)

    def extra_repr(self) -> str:
        return f"{self.size}" + ("" if self.antialias else ", antialias=False")


def weights(old: int, new: int, antialias: bool) -> Tensor:
    """Returns how much each of the old pixels counts in each of the new ones, ``(new, old)`` float64."""
    middle = (torch.arange(new, dtype=torch.float64) + 0.5) * old / new - 0.5
    reach = max(1.0, old / new) if antialias else 1.0
    weight = (1 - (middle.unsqueeze(1) - torch.arange(old)).abs() / reach).clamp(min=0)
    return weight / weight.sum(1, keepdim=True)
