"""Resampling: images made larger or smaller, as one sparse matrix for the rows and one for the columns."""

from __future__ import annotations

import math

import torch
from torch import Tensor

MODES = ("nearest", "bilinear")


def interpolate(
    x: Tensor, size: tuple[int, int], mode: str, align_corners: bool, scale: tuple[float | None, float | None]
) -> Tensor:
    """Takes each new pixel from the old ones around the place it falls on.

    y = A x B^T, where row i of A holds how much of each old row the new row i is: 1 for the nearest, or
    1 - t and t for the two around it, t being how far it is from the first.

    Args:
        x: ``(N, C, H, W)``.
        size: new height and width.
        mode: "nearest" or "bilinear".
        align_corners: for "bilinear", whether the centres of the corner pixels stay where they are, rather
            than the corners of the image.
        scale: the factors that the sizes came from, None where a size was asked for.

    Returns:
        ``(N, C, *size)``.
    """
    rows = weights(x.shape[2], size[0], mode, align_corners, scale[0], x)
    columns = weights(x.shape[3], size[1], mode, align_corners, scale[1], x)
    return rows @ x @ columns.T


def interpolate_backward(
    grad: Tensor,
    size: tuple[int, int],
    mode: str,
    align_corners: bool,
    scale: tuple[float | None, float | None],
) -> Tensor:
    """Hands each old pixel its share of the new ones: dL/dx = A^T dL/dy B.

    Args:
        grad: dL/dy.
        size: old height and width.
        mode: as in the forward.
        align_corners: as in the forward.
        scale: as in the forward.
    """
    rows = weights(size[0], grad.shape[2], mode, align_corners, scale[0], grad)
    columns = weights(size[1], grad.shape[3], mode, align_corners, scale[1], grad)
    return rows.T @ grad @ columns


def weights(old: int, new: int, mode: str, align_corners: bool, scale: float | None, like: Tensor) -> Tensor:
    """Returns the matrix ``(new, old)`` that resamples one dimension.

    With the corners of the image aligned, the centre of new pixel i lies at (i + 1/2) old / new - 1/2 on the
    old ones; with the centres of the corner pixels aligned, at i (old - 1) / (new - 1).
    """
    step = old / new if scale is None else 1 / scale
    matrix = torch.zeros(new, old, dtype=like.dtype)
    for i in range(new):
        if mode == "nearest":
            matrix[i, min(math.floor(i * step), old - 1)] = 1
            continue
        if align_corners:
            place = i * (old - 1) / (new - 1) if new > 1 else 0.0
        else:
            place = max(0.0, (i + 0.5) * step - 0.5)
        first = min(math.floor(place), old - 1)
        t = place - first
        matrix[i, first] += 1 - t
        matrix[i, min(first + 1, old - 1)] += t
    return matrix.to(like.device)
