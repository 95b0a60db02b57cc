"""Cosine similarity: the cosine of the angle between two vectors."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Saved(NamedTuple):
    """What the backward needs; s1 and s2 are as many as vectors, their size along ``dim`` is 1."""

    u1: Tensor
    u2: Tensor
    s1: Tensor
    s2: Tensor
    dim: int
    eps: float


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> tuple[Tensor, Saved]:
    """c = u1.u2,   u = x / sqrt(max(s, eps^2)),   s = x.x.

    A vector shorter than eps has no direction to speak of.

    Args:
        x1: any shape, the vectors along ``dim``.
        x2: a shape that broadcasts with it, of the same size along ``dim``.
        dim: the dimension of the vectors.
        eps: the length that a vector counts as having at least.
    """
    s1, s2 = (x1 * x1).sum(dim, keepdim=True), (x2 * x2).sum(dim, keepdim=True)
    u1, u2 = x1 / _length(s1, eps), x2 / _length(s2, eps)
    return (u1 * u2).sum(dim), Saved(u1, u2, s1, s2, dim, eps)


def cosine_similarity_backward(grad: Tensor, saved: Saved) -> tuple[Tensor, Tensor]:
    """dc/dx1 = (u2 - c u1) / |x1|,   dc/dx2 = (u1 - c u2) / |x2|;   without c where |x| < eps.

    Only what is across a vector changes its angle; summed over all that share a vector.
    """
    u1, u2, s1, s2, dim, eps = saved
    grad = grad.unsqueeze(dim)
    grad_1 = _unit_backward((grad * u2).sum_to_size(u1.shape), u1, s1, dim, eps)  # c = u1.u2, by u1
    grad_2 = _unit_backward((grad * u1).sum_to_size(u2.shape), u2, s2, dim, eps)  # and by u2
    return grad_1, grad_2


def _length(s: Tensor, eps: float) -> Tensor:
    return s.clamp(min=eps**2).sqrt()


def _unit_backward(grad: Tensor, u: Tensor, s: Tensor, dim: int, eps: float) -> Tensor:
    """dL/dx = (g - (g.u) u) / |x|, and g / eps where |x| < eps."""
    along = (grad * u).sum(dim, keepdim=True) * u  # u = x / |x|, by |x|
    return (grad - torch.where(s < eps**2, 0, along)) / _length(s, eps)  # and by x
