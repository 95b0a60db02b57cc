"""PairwiseDistance: how far apart two vectors are."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.checks import check_comparable
from ds_core.kernels import dispatch
from ds_core.module import InputGrad, Module

pairwise_distance, pairwise_distance_backward = dispatch(functional.pairwise_distance, half=torch.float32)


@final
class PairwiseDistance(Module):
    """Returns the p-norm of the difference of vectors.

    d = (sum_i |v_i|^p)^(1/p),   v = x1 - x2 + eps;   dd/dx1_i = sign(v_i) (|v_i| / d)^(p - 1) = -dd/dx2_i

    Args:
        p: which norm, above 0; infinity for the largest difference.
        eps: keeps the distance of equal points from 0, where it has no slope.
        keepdim: whether the last dimension stays, of size 1.

    Shape:
        x1, x2: ``(..., D)``, of shapes that broadcast and with one D -> ``(...)``, or ``(..., 1)`` with
        keepdim. The gradient is a pair.

    Raises:
        ValueError: if the shapes do not fit, or p is not above 0.
        TypeError: if the inputs are not of one floating point type.

    Source: Minkowski, Geometrie der Zahlen (1896), chapter 1.
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        if not p > 0:
            raise ValueError(f"PairwiseDistance: expected a norm with p above 0, got {p}")
        self.p, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        check_comparable(self, x1, x2, -1)
        d, saved = pairwise_distance(x1, x2, self.p, self.eps)
        self.save(saved)
        return d.unsqueeze(-1) if self.keepdim else d

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        grad = grad.squeeze(-1) if self.keepdim else grad
        return pairwise_distance_backward(grad, saved) if self.input_grad else None

    def extra_repr(self) -> str:
        return f"p={self.p}, eps={self.eps}" + (", keepdim=True" if self.keepdim else "")
