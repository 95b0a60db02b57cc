"""RandomCrop: a window at a random place."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, Literal

import torch
from ds_core.checks import shape
from torch import Tensor

from ds_cnn.transforms.arguments import Fill, numbers, pair, per_channel, whole
from ds_cnn.transforms.crop import MODES, crop
from ds_cnn.transforms.transform import Transform


class RandomCrop(Transform):
    """Cuts a window at a random place out of every image, after adding pixels around it if wanted.

    Padding by a few pixels and cutting the old size out again shifts an image: the usual augmentation of
    small images.

    Args:
        size: (height, width) of the window, or one number for both.
        padding: pixels added: one number; two, for left and right, top and bottom; or four, for left, top,
            right, bottom. None for none.
        pad_if_needed: whether images smaller than the window are padded on both sides as far as it takes.
        fill: what "constant" padding holds: one number, or one for each channel.
        padding_mode: "constant", "edge", "reflect" or "symmetric".

    Shape:
        ``(N, C, H, W)`` -> ``(N, C, height, width)``, or without N.

    Raises:
        ValueError: if an argument is not what is said here, an image is smaller than the window, or it has
            too few pixels to mirror.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        fill: Fill = 0.0,
        padding_mode: Literal["constant", "edge", "reflect", "symmetric"] = "constant",
    ) -> None:
        self.size = pair(size, "RandomCrop: size")
        self.padding = _four(padding)
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        if padding_mode not in MODES:
            raise ValueError(f"RandomCrop: expected padding_mode among {MODES}, got {padding_mode!r}")
        self.padding_mode = padding_mode

    def apply(self, images: Tensor, generator: torch.Generator | None) -> Tensor:
        left, top, right, bottom = self.padding
        height, width = images.shape[2:]
        if self.pad_if_needed:
            more = max(0, self.size[0] - (top + height + bottom))
            top, bottom = top + more, bottom + more
            more = max(0, self.size[1] - (left + width + right))
            left, right = left + more, right + more
        places = top + height + bottom - self.size[0] + 1, left + width + right - self.size[1] + 1
        if min(places) < 1:
            raise ValueError(
                f"{self.label()}: expected images of at least {self.size} pixels, "
                f"got {shape(images)} and padding {self.padding}"
            )
        spare = {"reflect": -1, "symmetric": 0}.get(self.padding_mode)
        if spare is not None and (max(top, bottom) > height + spare or max(left, right) > width + spare):
            raise ValueError(
                f"{self.label()}: expected images with as many pixels as are to be mirrored, got "
                f"{shape(images)}"
            )
        first_row = whole(images, generator, places[0]) - top
        first_column = whole(images, generator, places[1]) - left
        fill = per_channel(self.fill, images, f"{self.label()}: fill")
        return crop(images, first_row, first_column, self.size, self.padding_mode, fill)

    def extra_repr(self) -> str:
        text = f"{self.size}"
        text += f", padding={self.padding}" if any(self.padding) else ""
        return text + (f", padding_mode={self.padding_mode!r}" if self.padding_mode != "constant" else "")


def _four(padding: int | Sequence[int] | None) -> tuple[int, int, int, int]:
    """Returns padding as (left, top, right, bottom)."""
    given = [padding or 0] if padding is None or isinstance(padding, (int, Integral)) else padding
    sides: list[Any] = numbers(given) or []
    if len(sides) not in (1, 2, 4) or not all(type(n) is int and 0 <= n <= 65_536 for n in sides):
        raise ValueError(
            f"RandomCrop: expected padding of one, two or four numbers of pixels, got {padding!r}"
        )
    left, top, right, bottom = (sides * (4 // len(sides)))[:4]
    return left, top, right, bottom
