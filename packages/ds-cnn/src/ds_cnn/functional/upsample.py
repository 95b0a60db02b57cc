"""Resampling: images made larger or smaller, each new pixel a mixture of old ones, along rows and columns."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

TAPS = {"nearest": (0,), "bilinear": (0, 1), "bicubic": (-1, 0, 1, 2)}  # which pixels around a place count
BEND = -0.75  # of the cubic curve, as image programs have it; -1/2 where it is stretched against aliasing


class Mixture(NamedTuple):
    """What each new pixel along a dimension is made of.

    Attributes:
        matrix: ``(new, old)``, how much of each old pixel it is.
        taps: for each of the pixels that count, where it is ``(new,)`` and how much it counts ``(new,)``;
            none if all may count.
    """

    matrix: Tensor
    taps: list[tuple[Tensor, Tensor]]


class Saved(NamedTuple):
    """What the backward needs."""

    size: torch.Size  # of x
    rows: Mixture | None  # None where the height stays
    columns: Mixture | None


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
    around it. Only these are read, so that an infinite pixel is none of the others' business.

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
    y = mixed(mixed(x, rows, -2), columns, -1)
    return y.clone() if rows is columns is None else y, Saved(x.shape, rows, columns)


def upsample_backward(grad: Tensor, saved: Saved) -> Tensor:
    """Hands each old pixel its share of the new ones:   dL/dx = A^T dL/dy B."""
    size, rows, columns = saved
    grad = mixed_backward(grad, columns, -1, size[-1])  # y = ... B^T
    return mixed_backward(grad, rows, -2, size[-2])  # A x ...


def mixed(x: Tensor, mixture: Mixture | None, dim: int) -> Tensor:
    """Mixes new pixels along a dimension, each of those that count."""
    if mixture is None:
        return x
    if not mixture.taps:
        return mixture.matrix @ x if dim == -2 else x @ mixture.matrix.mT
    parts = [x.index_select(dim, place) * along(share, dim) for place, share in mixture.taps]
    return sum(parts[1:], parts[0])


def mixed_backward(grad: Tensor, mixture: Mixture | None, dim: int, old: int) -> Tensor:
    """Adds up for each of ``old`` pixels along a dimension what it got from every new one."""
    if mixture is None:
        return grad
    if not mixture.taps:
        return mixture.matrix.mT @ grad if dim == -2 else grad @ mixture.matrix
    grad_x = grad.new_zeros(*grad.shape[:dim], old, *grad.shape[dim:][1:])
    for place, share in mixture.taps:
        grad_x = grad_x.index_add(dim, place, grad * along(share, dim))  # x.index_select(...) * share
    return grad_x


def along(share: Tensor, dim: int) -> Tensor:
    """Lays numbers out along the last dimension but one, or the last."""
    return share[:, None] if dim == -2 else share


def mixture(
    old: int, new: int, mode: str, align_corners: bool, scale: float | None, antialias: bool, like: Tensor
) -> Mixture | None:
    """Returns what resamples one dimension; None where it stays as it is.

    With the corners of the image aligned, the centre of new pixel i lies at (i + 1/2) old / new - 1/2 on the
    old ones; with the centres of the corner pixels aligned, at i (old - 1) / (new - 1). An old pixel at the
    distance u counts f(u); one beyond the edge stands for the edge. Against aliasing f is made wider by as
    much as the image shrinks, and what is beyond the edge is left out.
    """
    if old == new and (scale in (None, 1) or (mode == "bilinear" and not antialias)):
        return None
    step = old / new if scale is None else 1 / scale
    if align_corners:
        step = (old - 1) / (new - 1) if new > 1 else 0.0
    pixel = like.new_tensor(range(old))  # (old,)
    if antialias:
        middle = like.new_tensor([(i + 0.5) * step - 0.5 for i in range(new)])[:, None]
        share = curve((pixel - middle) / max(1.0, step), mode, -0.5)  # (new, old)
        return Mixture(share / share.sum(1, keepdim=True), [])
    places: list[float]
    if mode == "nearest" and scale is None:
        places = [i * old // new for i in range(new)]  # in whole numbers: no place is rounded down too far
    elif mode == "nearest" or align_corners:
        places = [i * step for i in range(new)]
    else:
        places = [(i + 0.5) * step - 0.5 for i in range(new)]
    firsts = [math.floor(place) for place in places]
    first = like.new_tensor(firsts)[:, None]
    t = like.new_tensor([place - whole for place, whole in zip(places, firsts, strict=True)])[:, None]
    taps = [((first + tap).clamp(0, old - 1), curve(t - tap, mode, BEND)) for tap in TAPS[mode]]  # (new, 1)
    matrix = like.new_zeros(new, old)
    for place, share in taps:
        matrix = matrix + (pixel == place) * share
    return Mixture(matrix, [(place[:, 0].long(), share[:, 0]) for place, share in taps])


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
