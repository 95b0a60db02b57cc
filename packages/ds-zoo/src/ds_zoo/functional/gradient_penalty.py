"""The gradient penalty: what it costs a critic to be steeper, or flatter, than it should be."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Saved(NamedTuple):
    """What the backward needs."""

    slope: Tensor  # (N, ...)
    norm: Tensor  # (N, 1)
    weight: float
    goal: float


def gradient_penalty(slope: Tensor, weight: float, goal: float = 1.0) -> tuple[Tensor, Saved]:
    """Holds the length of the critic's gradient at each example to a goal:   P = w mean (|d| - c)^2.

    Args:
        slope: d, the gradient of each example's score by the example ``(N, ...)``.
        weight: w.
        goal: c, 1 for Wasserstein's critic, between real and fake; 0 for the penalty called R1, at the real.

    Source: Gulrajani et al., Improved Training of Wasserstein GANs (2017), equation 3; Mescheder et al.,
    Which Training Methods for GANs do actually Converge? (2018), equation 9.
    """
    squares = slope.flatten(1).square().sum(1, keepdim=True)  # (N, 1)
    norm = torch.where(squares > 0, torch.where(squares > 0, squares, 1).sqrt(), 0)
    return weight * (norm - goal).square().mean(), Saved(slope, norm, weight, goal)


def gradient_penalty_backward(grad: Tensor | float, saved: Saved) -> Tensor:
    """dP/dd = 2 w / N (|d| - c) d / |d|; a gradient of length 0 has no direction, and stays."""
    slope, norm, weight, goal = saved
    grad_norm = grad * 2 * weight / len(slope) * (norm - goal)  # P = w mean (|d| - c)^2
    unit = slope.flatten(1) / torch.where(norm > 0, norm, 1)  # |d|
    return (grad_norm * unit).reshape(slope.shape)
