"""TripletMarginLoss: nearer to its like than to another."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core import functional
from ds_core.checks import shape
from ds_core.kernels import dispatch
from ds_core.losses.loss import Reduction
from ds_core.losses.margin_loss import MarginLoss, hinge_backward

distance, distance_backward = dispatch(functional.distance)


class TripletMarginLoss(MarginLoss):
    """Asks that an anchor is nearer to a positive example than to a negative one, by a margin.

    With d(x, y) = || x - y + eps ||_p over the last dimension and D = d(a, n) (with swap: the smaller of
    d(a, n) and d(p, n)):

    l = max(0, d(a, p) - D + margin)

    Where l > 0, the gradient flows into a and p through d(a, p) and, with the opposite sign, through D into
    n and a (or p, where d(p, n) is the smaller; half each where they are equal).

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
        near, saved_near = distance(anchor, positive, self.p, self.eps)  # (...)
        far, saved_far = distance(anchor, negative, self.p, self.eps)
        other, saved_other = None, None
        gap = near - far + self.margin
        if self.swap:
            other, saved_other = distance(positive, negative, self.p, self.eps)
            gap = near - torch.minimum(far, other) + self.margin
        self.save(gap, far, other, saved_near, saved_far, saved_other)
        return self.reduce(gap.clamp(min=0), gap.numel())

    def backward(self, grad: Tensor | float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
        gap, far, other, saved_near, saved_far, saved_other = self.saved()
        grad = hinge_backward(gap) * self.reduce_backward(grad, gap.numel())  # (...)
        grad_a, grad_p = distance_backward(grad, saved_near)
        if not self.swap:
            grad_a_far, grad_n = distance_backward(-grad, saved_far)
            return grad_a + grad_a_far, grad_p, grad_n
        far_is_less = ((other - far).sign() + 1) / 2  # 1, or 1/2 where both are equal, or 0
        grad_a_far, grad_n_far = distance_backward(-grad * far_is_less, saved_far)
        grad_p_other, grad_n_other = distance_backward(-grad * (1 - far_is_less), saved_other)
        return grad_a + grad_a_far, grad_p + grad_p_other, grad_n_far + grad_n_other

    def extra_repr(self) -> str:
        parts = [super().extra_repr(), f"p={self.p}", f"eps={self.eps}", "swap=True" if self.swap else ""]
        return ", ".join(part for part in parts if part)
