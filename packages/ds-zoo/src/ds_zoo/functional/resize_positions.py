"""The vectors of places in an image, for images of another size: they are resized as an image is."""

from __future__ import annotations

from typing import NamedTuple

import torch
from ds_cnn.functional import upsample, upsample_backward
from ds_cnn.functional.upsample import Saved as Mixtures
from torch import Tensor


class Saved(NamedTuple):
    """What the backward needs."""

    first: int
    new: tuple[int, int]
    mixtures: Mixtures


def resize_positions(
    table: Tensor, old: tuple[int, int], new: tuple[int, int], first: int, antialias: bool = False
) -> tuple[Tensor, Saved]:
    """Takes the h x w vectors of a grid of places for an image of C channels, and gives it h' x w' pixels.

    Args:
        table: ``(..., K + h w, C)``, row by row; its first K vectors are of no place in the image, and stay.
        old: h and w.
        new: h' and w'.
        first: K.
        antialias: see :func:`ds_cnn.functional.upsample`, whose bicubic mode it is.

    Returns:
        ``(..., K + h' w', C)``.
    """
    image = table[..., first:, :].unflatten(-2, old).movedim(-1, -3)  # (..., C, h, w)
    resized, mixtures = upsample(image, new, "bicubic", False, (None, None), antialias)
    vectors = resized.movedim(-3, -1).flatten(-3, -2)  # (..., h' w', C)
    return torch.cat([table[..., :first, :], vectors], -2), Saved(first, new, mixtures)


def resize_positions_backward(grad: Tensor, saved: Saved) -> Tensor:
    """Takes the same way back, each old place collecting its share of the new ones: dL/d(table)."""
    first, new, mixtures = saved
    resized = grad[..., first:, :].unflatten(-2, new).movedim(-1, -3)  # vectors
    image = upsample_backward(resized, mixtures)  # resized
    vectors = image.movedim(-3, -1).flatten(-3, -2)  # image
    return torch.cat([grad[..., :first, :], vectors], -2)
