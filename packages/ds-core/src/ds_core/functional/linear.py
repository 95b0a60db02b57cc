"""The affine map: a weighted sum of the inputs for each output."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor


class Saved(NamedTuple):
    """What the backward needs."""

    x: Tensor  # (..., in)
    weight: Tensor  # (out, in)
    bias: Tensor | None  # (out,)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Saved]:
    """Maps the last dimension affinely: y = x W^T + b."""
    y = x @ weight.T  # (..., out)
    y = y if bias is None else y + bias
    return y, Saved(x, weight, bias)


def linear_backward(grad: Tensor, saved: Saved) -> tuple[Tensor, Tensor, Tensor | None]:
    """With all places as rows:   dL/dx = g W,   dL/dW = g^T x,   dL/db = sum of g."""
    x, weight, bias = saved
    grad_bias = None if bias is None else grad.sum_to_size(bias.shape)  # y = x W^T + b
    grad_weight = as_rows(grad).T @ as_rows(x)  # y = x W^T
    grad_x = grad @ weight  # y = x W^T
    return grad_x, grad_weight, grad_bias


def as_rows(x: Tensor) -> Tensor:
    """Views ``(..., features)`` as the matrix ``(rows, features)``."""
    return x if x.dim() == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
