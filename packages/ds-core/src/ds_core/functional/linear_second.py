"""The gradient of the affine map's gradient."""

from __future__ import annotations

from torch import Tensor

from ds_core.functional.linear import Saved, as_rows


def linear_second_backward(grad_grad: Tensor, grad: Tensor, saved: Saved) -> tuple[Tensor, Tensor]:
    """With s = sum of v dL/dx, v = grad_grad:   ds/dg = v W^T,   ds/dW = g^T v,   ds/dx = 0."""
    weight = saved.weight
    grad_of_grad = grad_grad @ weight.T  # s = sum of v (g W), by g
    grad_weight = as_rows(grad).T @ as_rows(grad_grad)  # and by W
    return grad_of_grad, grad_weight
