"""Resampling: images made larger or smaller, as one sparse matrix for the rows and one for the columns."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor


class Saved(NamedTuple):
    """What the backward needs."""

    rows: Tensor  # (new height, old height)
    columns: Tensor  # (new width, old width)


def upsample(
    x: Tensor, size: tuple[int, int], mode: str, align_corners: bool, scale: tuple[float | None, float | None]
) -> tuple[Tensor, Saved]:
    """Takes each new pixel from the old ones around the place it falls on.

    y = A x B^T, where row i of A holds how much of each old row the new row i is: 1 for the nearest, or
    1 - t and t for the two around it, t being how far it is from the first.

    Args:
        x: ``(..., H, W)``.
        size: new height and width.
        mode: "nearest" or "bilinear".
        align_corners: for "bilinear", whether the centres of the corner pixels stay where they are, rather
            than the corners of the image.
        scale: the factors that the sizes came from, None where a size was asked for.

    Returns:
        y ``(..., *size)``.
    """
    rows = mixture(x.shape[-2], size[0], mode, align_corners, scale[0], x)
    columns = mixture(x.shape[-1], size[1], mode, align_corners, scale[1], x)
    return rows @ x @ columns.mT, Saved(rows, columns)


def upsample_backward(grad: Tensor, saved: Saved) -> Tensor:
    """Hands each old pixel its share of the new ones:   dL/dx = A^T dL/dy B."""
    rows, columns = saved
    return rows.mT @ grad @ columns  # y = A x B^T


def mixture(old: int, new: int, mode: str, align_corners: bool, scale: float | None, like: Tensor) -> Tensor:
    """Returns the matrix ``(new, old)`` that resamples one dimension.

    With the corners of the image aligned, the centre of new pixel i lies at (i + 1/2) old / new - 1/2 on the
    old ones; with the centres of the corner pixels aligned, at i (old - 1) / (new - 1).
    """
    step = old / new if scale is None else 1 / scale
    firsts, shares = [], []
    for i in range(new):
        if mode == "nearest":
            place = float(math.floor(i * step))
        elif align_corners:
            place = i * (old - 1) / max(1, new - 1)
        else:
            place = max(0.0, (i + 0.5) * step - 0.5)
        firsts.append(min(math.floor(place), old - 1))
        shares.append(min(1.0, place - firsts[-1]) if mode == "bilinear" else 0.0)
    first, t = (like.new_tensor(numbers)[:, None] for numbers in (firsts, shares))  # (new, 1)
    pixel = like.new_tensor(range(old))
    is_first, is_second = pixel == first, pixel == (first + 1).clamp(max=old - 1)  # (new, old)
    return is_first * (1 - t) + is_second * t
