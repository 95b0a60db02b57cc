"""TripletMarginLoss: nearer to its like than to another."""

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

triplet_margin, triplet_margin_backward = dispatch(functional.triplet_margin, half=torch.float32)


@final
class TripletMarginLoss(MarginLoss):
    """Asks that an anchor is nearer to a positive example than to a negative one, by a margin.

    With d(x, y) = || x - y + eps ||_p over the last dimension and D = d(a, n) (with swap: the smaller of
    d(a, n) and d(p, n)):

    l = max(0, d(a, p) - D + margin)

    Where l > 0, the gradient flows into a and p through d(a, p) and, with the opposite sign, through D into
    n and a (or p, where d(p, n) is the smaller; half each where they are equal).

    A :class:`~ds_core.training.Trainer` gives its loss a target, and here is none: it takes a loss of one's
    own that holds this one and passes the target over.

    Args:
        margin: by how much.
        p: which norm measures the distance, 1 or more.
        eps: keeps the distance of equal points from 0, where it has no slope.
        swap: whether the positive example may stand in for the anchor where it is nearer to the negative.
        reduction: "mean", "sum" or "none".

    Shape:
        a, p, n: the same, ``(..., D)`` -> scalar (or ``(...)`` for "none"). The gradient is a triple.

    Raises:
        ValueError: if the shapes differ, the margin is not positive, or p is below 1.
        TypeError: if the inputs are not of one floating point type.

    Source: Balntas et al., Learning Shallow Convolutional Feature Descriptors with Triplet Losses (2016).
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(margin, reduction)
        if not margin > 0:
            raise ValueError(f"TripletMarginLoss: expected a positive margin, got {margin}")
        if not p >= 1:
            raise ValueError(f"TripletMarginLoss: expected a norm with p of 1 or more, got {p}")
        self.p, self.eps, self.swap = p, eps, swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        self.check_alike(anchor, positive, negative)
        if anchor.dim() == 0:
            raise ValueError(
                f"{self.label()}: expected vectors (..., D), got inputs of shape {shape(anchor)}"
            )
        options = (self.margin, self.p, self.eps, self.swap, self.reduction)
        loss, saved = triplet_margin(anchor, positive, negative, *options)
        self.save(saved)
        return loss

    def backward(self, grad: Tensor | float = 1.0) -> InputGrad:
        (saved,) = self.saved()
        return triplet_margin_backward(grad, saved)

    def extra_repr(self) -> str:
        parts = [super().extra_repr(), f"p={self.p}", f"eps={self.eps}", "swap=True" if self.swap else ""]
        return ", ".join(part for part in parts if part)
