"""Spectral norm: a weight divided by the most that it can stretch a vector."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Saved(NamedTuple):
    """What the backward needs."""

    normed: Tensor  # (O, ...)
    u: Tensor  # (O,)
    v: Tensor  # (I,)
    sigma: Tensor


def spectral_norm(weight: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Saved]:
    """Divides W, a matrix with a row for each output, by its largest singular value: W' = W / (u^T W v).

    Args:
        weight: W ``(O, ...)``.
        u: ``(O,)``, the direction that W stretches most, as it comes out; length 1.
        v: ``(I,)``, the same as it goes in.
    """
    sigma = (u * (weight.flatten(1) * v).sum(1)).sum()
    normed = weight / sigma
    return normed, Saved(normed, u, v, sigma)


def spectral_norm_backward(grad: Tensor, saved: Saved) -> Tensor:
    """With s = u^T W v, u and v held fixed:   dL/dW = (G - sum(G W') u v^T) / s."""
    normed, u, v, sigma = saved
    through_sigma = -(grad * normed).sum() / sigma  # W' = W / s
    return grad / sigma + (through_sigma * u[:, None] * v).reshape(grad.shape)  # s = u^T W v


def power_iteration(weight: Tensor, v: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Brings u and v one step nearer to the directions of the largest singular value: u ~ W v, v ~ W^T u."""
    matrix = weight.flatten(1)
    u = _unit((matrix * v).sum(1), eps)
    return u, _unit((matrix * u[:, None]).sum(0), eps)


def _unit(x: Tensor, eps: float) -> Tensor:
    return x / x.square().sum().sqrt().clamp(min=eps)
