"""Resampling: images made larger or smaller, as one sparse matrix for the rows and one for the columns."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

TAPS = {"nearest": (0,), "bilinear": (0, 1), "bicubic": (-1, 0, 1, 2)}  # which pixels around a place count
BEND = -0.75  # of the cubic curve, as image programs have it; -1/2 where it is stretched against aliasing


class Saved(NamedTuple):
    """What the backward needs."""

    rows: Tensor  # (new height, old height)
    columns: Tensor  # (new width, old width)


def upsample(
    x: Tensor,
    size: tuple[int, int],
    mode: str,
    align_corners: bool,
    scale: tuple[float | None, float | None],
    antialias: bool = False,
) -> tuple[Tensor, Saved]:
    """Takes each new pixel from the old ones around the place it falls on.

    y = A x B^T, where row i of A holds how much of each old row the new row i is: 1 for the nearest; 1 - t
    and t for the two around it, t being how far it is from the first; or what a cubic curve says of the four
    around it.

    Args:
        x: ``(..., H, W)``.
        size: new height and width.
        mode: "nearest", "bilinear" or "bicubic".
        align_corners: for the last two, whether the centres of the corner pixels stay where they are, rather
            than the corners of the image.
        scale: the factors that the sizes came from, None where a size was asked for.
        antialias: for the last two, whether more old pixels count where the image shrinks, so that none is
            passed over.

    Returns:
        y ``(..., *size)``.
    """
    rows = mixture(x.shape[-2], size[0], mode, align_corners, scale[0], antialias, x)
    columns = mixture(x.shape[-1], size[1], mode, align_corners, scale[1], antialias, x)
    return rows @ x @ columns.mT, Saved(rows, columns)


def upsample_backward(grad: Tensor, saved: Saved) -> Tensor:
    """Hands each old pixel its share of the new ones:   dL/dx = A^T dL/dy B."""
    rows, columns = saved
    return rows.mT @ grad @ columns  # y = A x B^T


def mixture(
    old: int, new: int, mode: str, align_corners: bool, scale: float | None, antialias: bool, like: Tensor
) -> Tensor:
    """Returns the matrix ``(new, old)`` that resamples one dimension.

    With the corners of the image aligned, the centre of new pixel i lies at (i + 1/2) old / new - 1/2 on the
    old ones; with the centres of the corner pixels aligned, at i (old - 1) / (new - 1). An old pixel at the
    distance u counts f(u); one beyond the edge stands for the edge. Against aliasing f is made wider by as
    much as the image shrinks, and what is beyond the edge is left out.
    """
    step = old / new if scale is None else 1 / scale
    if align_corners:
        step = (old - 1) / (new - 1) if new > 1 else 0.0
    pixel = like.new_tensor(range(old))  # (old,)
    if antialias:
        middle = like.new_tensor([(i + 0.5) * step - 0.5 for i in range(new)])[:, None]
        share = curve((pixel - middle) / max(1.0, step), mode, -0.5)  # (new, old)
        return share / share.sum(1, keepdim=True)
    if mode == "nearest" or align_corners:
        places = [i * step for i in range(new)]
    else:
        places = [(i + 0.5) * step - 0.5 for i in range(new)]
    firsts = [math.floor(place) for place in places]
    first = like.new_tensor(firsts)[:, None]
    t = like.new_tensor([place - whole for place, whole in zip(places, firsts, strict=True)])[:, None]
    matrix = like.new_zeros(new, old)
    for tap in TAPS[mode]:
        matrix = matrix + (pixel == (first + tap).clamp(0, old - 1)) * curve(t - tap, mode, BEND)
    return matrix


def curve(u: Tensor, mode: str, bend: float) -> Tensor:
    """Returns f(u), how much a pixel at the distance u counts.

    nearest: 1;   bilinear: 1 - |u| up to 1, 0 beyond;   bicubic, with the bend a:
    (a + 2) |u|^3 - (a + 3) |u|^2 + 1 up to 1,   a (|u|^3 - 5 |u|^2 + 8 |u| - 4) from there up to 2, 0 beyond

    Source: Keys, Cubic Convolution Interpolation for Digital Image Processing (1981), section II.
    """
    if mode == "nearest":
        return torch.ones_like(u)
    u = u.abs()
    if mode == "bilinear":
        return (1 - u).clamp(min=0)
    near = ((bend + 2) * u - (bend + 3)) * u * u + 1
    far = bend * (((u - 5) * u + 8) * u - 4)
    return torch.where(u <= 1, near, torch.where(u < 2, far, 0))
