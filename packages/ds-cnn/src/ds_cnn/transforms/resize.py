"""Resize: more pixels or fewer."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Literal

import torch
from ds_core.kernels import dispatch
from torch import Tensor

from ds_cnn import functional
from ds_cnn.transforms.arguments import pair
from ds_cnn.transforms.transform import Transform

upsample, _ = dispatch(functional.upsample, half=torch.float32)


class Resize(Transform):
    """Gives every image another number of pixels, each a weighted mean of old pixels nearby.

    y = R x C^T,   R[i, j] = f((p_i - j) / r) over the sum of its row,   p_i = (i + 1/2) H / h - 1/2

    for the H rows of x and the h rows of y; C is the same for columns. The curve f is that of
    :func:`ds_cnn.functional.upsample`; the reach r is 1 or, where images shrink, H / h, so that every old
    pixel counts.

    Args:
        size: (height, width); or one number for the shorter side, the other one in proportion.
        interpolation: "bilinear" or "bicubic"; the latter can give numbers a little beyond the old ones.
        antialias: whether the reach grows where images shrink.

    Shape:
        ``(N, C, H, W)`` -> ``(N, C, height, width)``, or without N.

    Raises:
        ValueError: if the size is not what is said here.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        interpolation: Literal["bilinear", "bicubic"] = "bilinear",
        *,
        antialias: bool = True,
    ) -> None:
        both = pair(size, "Resize: size")
        if interpolation not in ("bilinear", "bicubic"):
            raise ValueError(f"Resize: expected interpolation 'bilinear' or 'bicubic', got {interpolation!r}")
        self.interpolation = interpolation
        self.size = both[0] if isinstance(size, (int, Integral)) else both
        self.antialias = antialias

    def apply(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        high, wide = images.shape[2:]
        if isinstance(self.size, int):
            shorter = min(high, wide)
            height, width = self.size * high // shorter, self.size * wide // shorter
        else:
            height, width = self.size
        size = height, width
        return upsample(images, size, self.interpolation, False, (None, None), self.antialias)[0]

    def extra_repr(self) -> str:
        how = "" if self.interpolation == "bilinear" else f", interpolation={self.interpolation!r}"
        return f"{self.size}{how}" + ("" if self.antialias else ", antialias=False")
