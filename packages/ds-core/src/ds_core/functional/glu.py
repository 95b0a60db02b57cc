"""GLU: one half of the numbers gates the other."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ds_core.functional.sigmoid import sigmoid


class Saved(NamedTuple):
    """What the backward needs."""

    a: Tensor
    s: Tensor
    dim: int


def glu(x: Tensor, dim: int = -1) -> tuple[Tensor, Saved]:
    """Halves x along a dimension, into a and b: y = a s,   s = 1 / (1 + exp(-b))."""
    a, b = x.chunk(2, dim)
    s, _ = sigmoid(b)
    return a * s, Saved(a, s, dim)


def glu_backward(grad: Tensor, saved: Saved) -> Tensor:
    """dL/da = g s,   dL/db = g a s (1 - s)."""
    a, s, dim = saved
    grad_a = grad * s  # y = a s
    grad_b = grad * a * s * (1 - s)  # y = a s, s = sigmoid(b)
    return torch.cat([grad_a, grad_b], dim)  # a, b are the halves of x
