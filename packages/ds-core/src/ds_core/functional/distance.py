"""The distance between vectors, with its backward below it."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def distance(x: Tensor, y: Tensor, p: float = 2.0, eps: float = 1e-6) -> tuple[Tensor, Tensor]:
    """Returns the p-norm of x - y + eps, and that difference for the backward.

    d = (sum_i |v_i|^p)^(1/p),   v = x - y + eps;   for p = inf, d = max_i |v_i|

    Args:
        x: ``(..., D)``.
        y: ``(..., D)``.
        p: which norm, 1 or more.
        eps: keeps the distance of equal points from 0, where it has no slope.

    Shape:
        -> d ``(...)``, v ``(..., D)``.
    """
    v = x - y + eps
    size = v.abs()
    if p == math.inf:
        return size.amax(-1), v
    total = (size**p).sum(-1).clamp(min=torch.finfo(x.dtype).tiny)  # at 0 the tape would divide by 0
    return total ** (1 / p), v


def distance_backward(grad: Tensor, v: Tensor, d: Tensor, p: float = 2.0) -> Tensor:
    """Returns dL/dx_i = g sign(v_i) (|v_i| / d)^(p - 1); dL/dy is its negative.

    For p = inf the components of the largest size share g equally.

    Args:
        grad: dL/dd, ``(...)``.
        v: the difference from :func:`distance`.
        d: the distance.
        p: which norm.
    """
    size, d = v.abs(), d.unsqueeze(-1)
    if p == math.inf:
        largest = (size == d).to(v.dtype)
        share = largest / largest.sum(-1, keepdim=True)
    else:
        share = (size / d) ** (p - 1)
    return share * v.sign() * grad.unsqueeze(-1)


def cosine(x: Tensor, y: Tensor) -> Tensor:
    """Returns the cosine of the angle between vectors.

    c = x.y / sqrt(X Y),   X = x.x + 1e-12,   Y = y.y + 1e-12

    Shape:
        x and y ``(..., D)`` -> ``(...)``.
    """
    return (x * y).sum(-1) / (_square(x) * _square(y)).sqrt()


def cosine_backward(grad: Tensor, x: Tensor, y: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Returns dL/dx = g (y / sqrt(X Y) - c x / X) and dL/dy = g (x / sqrt(X Y) - c y / Y).

    Args:
        grad: dL/dc, ``(...)``.
        x: ``(..., D)``.
        y: ``(..., D)``.
        c: the output of :func:`cosine`.
    """
    square_x, square_y = _square(x), _square(y)
    across = (grad / (square_x * square_y).sqrt()).unsqueeze(-1)
    along_x = (grad * c / square_x).unsqueeze(-1)
    along_y = (grad * c / square_y).unsqueeze(-1)
    return across * y - along_x * x, across * x - along_y * y


def _square(x: Tensor) -> Tensor:
    return (x * x).sum(-1) + 1e-12
