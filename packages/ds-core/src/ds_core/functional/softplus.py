"""Softplus, the smooth rectifier, and LogSigmoid, which is it mirrored twice."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ds_core.functional.sigmoid import sigmoid


def softplus(
    x: Tensor, beta: float = 1.0, threshold: float = math.inf
) -> tuple[Tensor, tuple[Tensor, float]]:
    """Rounds off the kink of a rectifier.

    y = log(1 + exp(z)) / b,   z = b x;   where z > threshold: y = x

    log(1 + exp(z)) = max(z, 0) + log(1 + exp(-|z|)), whose exponential cannot overflow
    """
    z = beta * x
    soft = torch.maximum(z, z.new_zeros(())) + torch.log1p(torch.exp(-z.abs()))
    y = torch.where(z > threshold, x, soft / beta)
    return y, (z, threshold)


def softplus_backward(grad: Tensor, saved: tuple[Tensor, float]) -> Tensor:
    """dL/dx = g / (1 + exp(-z));   where z > threshold: g."""
    z, threshold = saved
    slope, _ = sigmoid(z)  # y = log(1 + exp(z)) / b, z = b x
    return torch.where(z > threshold, grad, grad * slope)


def log_sigmoid(x: Tensor) -> tuple[Tensor, Tensor]:
    """Takes the logarithm of the sigmoid.

    y = -log(1 + exp(-x)) = min(x, 0) - log(1 + exp(-|x|))
    """
    y = torch.minimum(x, x.new_zeros(())) - torch.log1p(torch.exp(-x.abs()))
    return y, x


def log_sigmoid_backward(grad: Tensor, saved: Tensor) -> Tensor:
    """dL/dx = g / (1 + exp(x))."""
    x = saved
    slope, _ = sigmoid(-x)  # y = -log(1 + exp(-x))
    return grad * slope
