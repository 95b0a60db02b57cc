"""CosineSimilarity: how far two vectors point the same way."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.checks import check_comparable
from ds_core.kernels import dispatch
from ds_core.module import InputGrad, Module

cosine_similarity, cosine_similarity_backward = dispatch(functional.cosine_similarity, half=torch.float32)


@final
class CosineSimilarity(Module):
    """Returns the cosine of the angle between vectors: 1 the same way, 0 across, -1 the opposite way.

    c = u1.u2,   u = x / max(|x|, eps);   dc/dx1 = (u2 - c u1) / |x1|,   dc/dx2 = (u1 - c u2) / |x2|

    Args:
        dim: the dimension along which the vectors lie.
        eps: the length that a vector counts as having at least.

    Shape:
        x1, x2: of shapes that broadcast, and of one size along ``dim`` -> that shape without ``dim``. The
        gradient is a pair.

    Raises:
        ValueError: if the shapes do not fit, or eps is negative.
        TypeError: if the inputs are not of one floating point type.

    Source: Salton, Wong, Yang, A Vector Space Model for Automatic Indexing (1975), section 1.
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        if not eps >= 0:
            raise ValueError(f"CosineSimilarity: expected eps to be 0 or more, got {eps}")
        self.dim, self.eps = dim, eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        c, saved = cosine_similarity(x1, x2, check_comparable(self, x1, x2, self.dim), self.eps)
        self.save(saved)
        return c

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return cosine_similarity_backward(grad, saved) if self.input_grad else None

    def extra_repr(self) -> str:
        return f"dim={self.dim}, eps={self.eps}"
