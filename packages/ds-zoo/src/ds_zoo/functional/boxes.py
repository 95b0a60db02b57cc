"""Boxes: how large they are, how far two of them overlap, and how that changes as one moves.

A box is four numbers ``(..., 4)``: its corners (left, top, right, bottom), or its centre and size (x, y,
width, height). Two tensors of boxes are compared as they broadcast: ``(N, 4)`` with ``(N, 4)`` pair by pair,
``(N, 1, 4)`` with ``(M, 4)`` each with each.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


def corners(boxes: Tensor) -> tuple[Tensor, None]:
    """Turns centre and size into corners:   left = x - w/2, top = y - h/2, right = x + w/2, ...."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], -1), None


def corners_backward(grad: Tensor, saved: None) -> Tensor:
    """dL/dx = dL/dleft + dL/dright,   dL/dw = (dL/dright - dL/dleft) / 2."""
    first, last = grad[..., :2], grad[..., 2:]
    return torch.cat([first + last, (last - first) / 2], -1)  # centre - half, centre + half


def centres(boxes: Tensor) -> tuple[Tensor, None]:
    """Turns corners into centre and size:   x = (left + right) / 2, w = right - left, ...."""
    first, last = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(first + last) / 2, last - first], -1), None


def centres_backward(grad: Tensor, saved: None) -> Tensor:
    """dL/dleft = dL/dx / 2 - dL/dw,   dL/dright = dL/dx / 2 + dL/dw."""
    middle, size = grad[..., :2] / 2, grad[..., 2:]
    return torch.cat([middle - size, middle + size], -1)  # (first + last) / 2, last - first


def area(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Multiplies width and height of boxes given by their corners ``(..., 4)``:   A = w h  ``(...)``."""
    size = boxes[..., 2:] - boxes[..., :2]  # (..., 2)
    return size[..., 0] * size[..., 1], size


def area_backward(grad: Tensor, saved: Tensor) -> Tensor:
    """dL/dw = h dL/dA,   dL/dh = w dL/dA."""
    grad_size = grad[..., None] * saved.flip(-1)  # A = w h
    return torch.cat([-grad_size, grad_size], -1)  # w = right - left, h = bottom - top


class Common(NamedTuple):
    """What the backward of a box that two others span needs."""

    a: Tensor  # (..., 4)
    b: Tensor  # (..., 4)
    size: Tensor  # (..., 2): width and height, 0 at least
    free: Tensor  # (..., 2): where they are not held at 0


def intersection(a: Tensor, b: Tensor) -> tuple[Tensor, Common]:
    """The area that two boxes share.

    I = w h,   w = max(0, min(right) - max(left)), h alike
    """
    size = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    free = size >= 0
    size = torch.where(free, size, 0)
    return size[..., 0] * size[..., 1], Common(a, b, size, free)


def intersection_backward(grad: Tensor, saved: Common) -> tuple[Tensor, Tensor]:
    """Moves the edge that limits the shared area, and that one alone; two equal edges share its gradient."""
    a, b, size, free = saved
    grad_size = torch.where(free, grad[..., None] * size.flip(-1), 0)  # I = w h, w = max(0, ...)
    first = share(a[..., :2], b[..., :2], grad_size)  # max(left): the larger one limits
    last = share(-a[..., 2:], -b[..., 2:], grad_size)  # min(right): the smaller one does
    return tuple(  # type: ignore[return-value]
        torch.cat([-left, right], -1).sum_to_size(box.shape)
        for left, right, box in zip(first, last, (a, b), strict=True)
    )


def hull(a: Tensor, b: Tensor) -> tuple[Tensor, Common]:
    """The area of the smallest box around two:   C = w h,   w = max(right) - min(left), h alike."""
    size = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    free = size >= 0  # but for a box whose right is left of its left
    size = torch.where(free, size, 0)
    return size[..., 0] * size[..., 1], Common(a, b, size, free)


def hull_backward(grad: Tensor, saved: Common) -> tuple[Tensor, Tensor]:
    """Moves the outermost edges; two equal ones share the gradient."""
    a, b, size, free = saved
    grad_size = torch.where(free, grad[..., None] * size.flip(-1), 0)  # C = w h
    first = share(-a[..., :2], -b[..., :2], grad_size)  # min(left)
    last = share(a[..., 2:], b[..., 2:], grad_size)  # max(right)
    return tuple(  # type: ignore[return-value]
        torch.cat([-left, right], -1).sum_to_size(box.shape)
        for left, right, box in zip(first, last, (a, b), strict=True)
    )


def share(a: Tensor, b: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Gives the gradient of max(a, b) to the larger one, half of it to each where they are equal."""
    of_a = torch.where(a == b, 0.5, (a > b).to(grad.dtype))
    return grad * of_a, grad * (1 - of_a)


class Saved(NamedTuple):
    """What the backwards of the overlaps need."""

    parts: tuple[Tensor, Tensor, Common, Common | None]  # of both areas, of I and of C
    i: Tensor  # (...): I
    u: Tensor  # (...): U
    c: Tensor | None  # (...): C


def iou(a: Tensor, b: Tensor) -> tuple[Tensor, Saved]:
    """How much of two boxes, given by their corners, is common to both.

    IoU = I / U,   U = A + B - I; 0 where both are empty

    Source: Everingham et al., The Pascal Visual Object Classes (VOC) Challenge (2010), equation 4.
    """
    (area_a, of_a), (area_b, of_b) = area(a), area(b)
    i, of_i = intersection(a, b)
    u = area_a + area_b - i
    return ratio(i, u), Saved((of_a, of_b, of_i, None), i, u, None)


def iou_backward(grad: Tensor, saved: Saved) -> tuple[Tensor, Tensor]:
    """dIoU/dI = 1 / U,   dIoU/dU = -I / U^2,   dU/dA = dU/dB = 1,   dU/dI = -1."""
    parts, i, u, _ = saved
    grad_u = -grad * ratio(ratio(i, u), u)  # I / U
    return _areas_backward(grad * ratio(torch.ones_like(u), u), grad_u, None, parts)


def giou(a: Tensor, b: Tensor) -> tuple[Tensor, Saved]:
    """IoU less the share of the smallest box around both that neither fills, so that boxes apart feel a pull.

    GIoU = I / U - (C - U) / C = I / U + U / C - 1,   U = A + B - I

    It lies between -1 and 1. Where both boxes are empty I / U counts 0, where they are one point U / C is 1.

    Args:
        a: corners ``(..., 4)``.
        b: corners ``(..., 4)``, of a shape that broadcasts with a's.

    Source: Rezatofighi et al., Generalized Intersection over Union (2019), algorithm 1.
    """
    (area_a, of_a), (area_b, of_b) = area(a), area(b)
    (i, of_i), (c, of_c) = intersection(a, b), hull(a, b)
    u = area_a + area_b - i
    return ratio(i, u) - ratio(c - u, c), Saved((of_a, of_b, of_i, of_c), i, u, c)


def giou_backward(grad: Tensor, saved: Saved) -> tuple[Tensor, Tensor]:
    """dGIoU/dI = 1 / U,   dGIoU/dU = 1 / C - I / U^2,   dGIoU/dC = -U / C^2,   dU/dI = -1."""
    parts, i, u, c = saved
    assert c is not None
    one = torch.ones_like(u)
    grad_u = grad * (ratio(one, c) - ratio(ratio(i, u), u))  # I / U + U / C
    grad_c = -grad * ratio(ratio(u, c), c)  # U / C
    return _areas_backward(grad * ratio(one, u), grad_u, grad_c, parts)


def _areas_backward(
    grad_i: Tensor,
    grad_u: Tensor,
    grad_c: Tensor | None,
    parts: tuple[Tensor, Tensor, Common, Common | None],
) -> tuple[Tensor, Tensor]:
    """Goes on from I, U and C to the boxes."""
    of_a, of_b, of_i, of_c = parts
    grad_a, grad_b = intersection_backward(grad_i - grad_u, of_i)  # I, and U = A + B - I
    grad_a = grad_a + area_backward(grad_u.sum_to_size(of_a.shape[:-1]), of_a)  # U = A + B - I
    grad_b = grad_b + area_backward(grad_u.sum_to_size(of_b.shape[:-1]), of_b)
    if of_c is not None and grad_c is not None:
        more_a, more_b = hull_backward(grad_c, of_c)  # C
        return grad_a + more_a, grad_b + more_b
    return grad_a, grad_b


def ratio(above: Tensor, below: Tensor) -> Tensor:
    """Divides, 0 where both are nothing to divide."""
    return torch.where(below == 0, 0, above / torch.where(below == 0, 1, below))
