"""CosineEmbeddingLoss: the same direction or not."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.checks import shape
from ds_core.kernels import dispatch
from ds_core.losses.loss import Reduction
from ds_core.losses.margin_loss import MarginLoss
from ds_core.module import InputGrad

cosine_embedding, cosine_embedding_backward = dispatch(functional.cosine_embedding, half=torch.float32)


@final
class CosineEmbeddingLoss(MarginLoss):
    """Asks that two vectors point the same way (target 1), or not (target -1).

    With c the cosine of their angle:  l = 1 - c where t = 1,   max(0, c - margin) where t = -1
    dl/dc = -1 where t = 1,   1 where t = -1 and c >= margin,   else 0

    Args:
        margin: the cosine that two different vectors may have.
        reduction: "mean", "sum" or "none".

    Shape:
        x1, x2: the same, ``(N, D)`` or ``(D,)``; target ``(N,)`` or ``()`` -> scalar (or the target's shape
        for "none"). The gradient is a pair, for x1 and x2.

    Raises:
        ValueError: if the shapes do not fit, or a target is neither 1 nor -1.
        TypeError: if x1 and x2 are not of one floating point type.

    Source: Hadsell, Chopra, LeCun, Dimensionality Reduction by Learning an Invariant Mapping (2006), with the
    cosine in place of the distance.
    """

    def __init__(self, margin: float = 0.0, reduction: Reduction = "mean") -> None:
        super().__init__(margin, reduction)

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        self.check_alike(input1, input2)
        if input1.dim() == 0 or target.shape != input1.shape[:-1]:
            raise ValueError(
                f"{self.label()}: expected vectors (N, D) and a target (N,), or (D,) and (), "
                f"got {shape(input1)} and {shape(target)}"
            )
        if not torch.compiler.is_compiling() and int((target.abs() != 1).sum()):
            raise ValueError(f"{self.label()}: expected targets of 1 or -1, got {target.unique().tolist()}")
        loss, saved = cosine_embedding(input1, input2, target, self.margin, self.reduction)
        self.save(saved)
        return loss

    def backward(self, grad: Tensor | float = 1.0) -> InputGrad:
        (saved,) = self.saved()
        return cosine_embedding_backward(grad, saved)
