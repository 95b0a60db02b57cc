"""Softshrink, Hardshrink and Tanhshrink: numbers near zero become zero, or nearly."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.tanh import tanh

Saved = tuple[Tensor, float]  # x, lambda


def softshrink(x: Tensor, lambd: float = 0.5) -> tuple[Tensor, Saved]:
    """Moves each number towards zero, but not beyond: y = x - c sign(x) where |x| > c, else 0."""
    y = torch.where(x.abs() <= lambd, 0, x - lambd * x.sign())
    return y, (x, lambd)


def softshrink_backward(grad: Tensor, saved: Saved) -> Tensor:
    """dL/dx = g where |x| > c, else 0."""
    x, lambd = saved
    return torch.where(x.abs() <= lambd, 0, grad)  # y = 0 where |x| <= c, else x and a constant


def hardshrink(x: Tensor, lambd: float = 0.5) -> tuple[Tensor, Saved]:
    """Sets small numbers to zero: y = x where |x| > c, else 0."""
    y = torch.where(x.abs() <= lambd, 0, x)
    return y, (x, lambd)


def hardshrink_backward(grad: Tensor, saved: Saved) -> Tensor:
    """dL/dx = g where |x| > c, else 0."""
    x, lambd = saved
    return torch.where(x.abs() <= lambd, 0, grad)  # y = 0 where |x| <= c


def tanhshrink(x: Tensor) -> tuple[Tensor, Tensor]:
    """Takes away the tanh, which near zero is all there is: y = x - t,   t = tanh(x)."""
    t, _ = tanh(x)
    return x - t, t


def tanhshrink_backward(grad: Tensor, saved: Tensor) -> Tensor:
    """dL/dx = g t^2."""
    t = saved
    return grad * t**2  # y = x - tanh(x), whose slope is 1 - (1 - t^2)
