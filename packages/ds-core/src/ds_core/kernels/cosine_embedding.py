"""Cosine embedding on a processor: coefficients first, then one pass over each vector."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.cosine_embedding import Saved, cosine_embedding
from ds_core.kernels import kernel


@kernel(cosine_embedding)
class CosineEmbeddingKernel:
    """dc/dx1 = a x2 - b x1, with one a and one b for each pair of vectors."""

    forward = staticmethod(cosine_embedding)

    @staticmethod
    def backward(grad: Tensor | float, saved: Saved) -> tuple[Tensor, Tensor]:
        x1, x2, c, target, margin, share = saved
        slope = torch.where(
            target == 1, -torch.ones_like(c), torch.ge(c, margin, out=torch.empty_like(c))
        ).mul_(grad * share)
        s1, s2 = (x1 * x1).sum(-1).add_(1e-12), (x2 * x2).sum(-1).add_(1e-12)
        a = (slope / (s1 * s2).sqrt_()).unsqueeze(-1)
        b = slope * c
        grad_1 = (x2 * a).addcmul_(x1, (b / s1).unsqueeze(-1), value=-1)
        grad_2 = (x1 * a).addcmul_(x2, (b / s2).unsqueeze(-1), value=-1)
        return grad_1, grad_2
