"""How far apart two vectors are: the norm of their difference, and the cosine of their angle."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class SavedDistance(NamedTuple):
    """What the backward of the distance needs."""

    v: Tensor  # (..., D): the difference
    d: Tensor  # (...): its norm
    p: float


def distance(x: Tensor, y: Tensor, p: float = 2.0, eps: float = 1e-6) -> tuple[Tensor, SavedDistance]:
    """Measures the difference by a p-norm: d = (sum_i |v_i|^p)^(1/p),   v = x - y + eps.

    For p = inf it is max_i |v_i|. ``eps`` keeps the distance of equal points from 0, where it has no slope.
    """
    v = x - y + eps  # (..., D)
    if p == math.inf:
        d = v.abs().amax(-1)  # (...)
    else:
        total = (v.abs() ** p).sum(-1)
        d = total.clamp(min=torch.finfo(v.dtype).tiny) ** (1 / p)  # at 0 the root has no slope
    return d, SavedDistance(v, d, p)


def distance_backward(grad: Tensor, saved: SavedDistance) -> tuple[Tensor, Tensor]:
    """dL/dx_i = g sign(v_i) (|v_i| / d)^(p - 1),   dL/dy = -dL/dx.

    For p = inf the components of the largest size share g equally.
    """
    v, d, p = saved
    size, d = v.abs(), d.unsqueeze(-1)
    if p == math.inf:
        largest = (size == d).to(v.dtype)
        share = largest / largest.sum(-1, keepdim=True)  # d = max |v_i|
    else:
        share = (size / d) ** (p - 1)  # d = (sum |v_i|^p)^(1/p)
    grad_v = grad.unsqueeze(-1) * share * v.sign()  # |v_i|
    return grad_v, -grad_v  # v = x - y + eps


class SavedCosine(NamedTuple):
    """What the backward of the cosine needs."""

    x: Tensor  # (..., D)
    y: Tensor  # (..., D)
    c: Tensor  # (...)


def cosine(x: Tensor, y: Tensor) -> tuple[Tensor, SavedCosine]:
    """Measures the angle: c = x.y / sqrt(X Y),   X = x.x + 1e-12,   Y = y.y + 1e-12."""
    c = (x * y).sum(-1) / (_square(x) * _square(y)).sqrt()  # (...)
    return c, SavedCosine(x, y, c)


def cosine_backward(grad: Tensor, saved: SavedCosine) -> tuple[Tensor, Tensor]:
    """dL/dx = g (y / sqrt(X Y) - c x / X),   dL/dy = g (x / sqrt(X Y) - c y / Y)."""
    x, y, _ = saved
    g, c = grad.unsqueeze(-1), saved.c.unsqueeze(-1)  # (..., 1)
    square_x, square_y = _square(x).unsqueeze(-1), _square(y).unsqueeze(-1)
    root = (square_x * square_y).sqrt()
    grad_x = g * (y / root - c * x / square_x)  # c = x.y / sqrt(X Y)
    grad_y = g * (x / root - c * y / square_y)  # c = x.y / sqrt(X Y)
    return grad_x, grad_y


def _square(x: Tensor) -> Tensor:
    return (x * x).sum(-1) + 1e-12
