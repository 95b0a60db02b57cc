"""LeakyReLU and PReLU: rectifiers that let a little through, a given or a learned share."""

from __future__ import annotations

import torch
from torch import Tensor


def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> tuple[Tensor, tuple[Tensor, float]]:
    """Scales what is below zero: y = x where x > 0, else s x."""
    y = torch.where(x > 0, x, negative_slope * x)
    return y, (x, negative_slope)


def leaky_relu_backward(grad: Tensor, saved: tuple[Tensor, float]) -> Tensor:
    """dL/dx = g where x > 0, else s g."""
    x, negative_slope = saved
    return torch.where(x > 0, grad, negative_slope * grad)  # y = x where x > 0, else s x


def leaky_relu_second_backward(grad_grad: Tensor, grad: Tensor, saved: tuple[Tensor, float]) -> Tensor:
    """With S = sum of v dL/dx, v = grad_grad:   dS/dg = v where x > 0, else s v,   dS/dx = 0."""
    return leaky_relu_backward(grad_grad, saved)  # S is linear in g, with the slopes of the first backward


def prelu(x: Tensor, weight: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Scales what is below zero by w, which broadcasts with x: y = x where x > 0, else w x."""
    below = torch.where(x > 0, 0, x)
    y = torch.where(x > 0, x, weight * below)
    return y, (x, weight)


def prelu_backward(grad: Tensor, saved: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """dL/dx = g where x > 0, else w g;   dL/dw = sum of g x over x <= 0."""
    x, weight = saved
    grad_weight = torch.where(x > 0, 0, grad * x).sum_to_size(weight.shape)  # y = w x where x <= 0
    grad_x = torch.where(x > 0, grad, weight * grad)  # y = x where x > 0, else w x
    return grad_x, grad_weight
