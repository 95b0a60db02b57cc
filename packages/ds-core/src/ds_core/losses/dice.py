"""DiceLoss: how little a predicted mask overlaps the true one."""

from __future__ import annotations

from torch import Tensor

from ds_core.checks import shape
from ds_core.functional.activations import sigmoid, sigmoid_backward
from ds_core.losses.loss import Loss, Reduction
from ds_core.losses.pointwise_loss import check_target


class DiceLoss(Loss):
    """Compares the overlap of two masks with their sizes, so that small masks count as much as large ones.

    With p = 1 / (1 + exp(-x)), sums over all dimensions but the first, n = 2 sum p t + s and
    d = sum p + sum t + s:

    l = 1 - n / d,   dl/dp = (n / d - 2t) / d,   dl/dx = dl/dp p (1 - p)

    Args:
        reduction: "mean" (over the masks), "sum" or "none".
        smooth: s, which makes the quotient of two empty masks 1.

    Shape:
        x (scores) and target: the same, ``(N, ...)``, a mask for each n -> scalar (or ``(N,)`` for "none").

    Raises:
        ValueError: if the shapes differ, or have fewer than two dimensions.
        TypeError: if x is not floating point, or the target is of another floating point type.

    Source: Milletari et al., V-Net (2016), section 3; without the squares and with s = 1, as in Cheng et
    al., MaskFormer (2021).
    """

    def __init__(self, reduction: Reduction = "mean", *, smooth: float = 1.0) -> None:
        super().__init__(reduction)
        self.smooth = smooth

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        target = check_target(self, input, target)
        if input.dim() < 2:
            raise ValueError(f"{self.label()}: expected masks of shape (N, ...), got {shape(input)}")
        p = sigmoid(input).flatten(1)  # (N, pixels)
        t = target.flatten(1)
        n = 2 * (p * t).sum(1) + self.smooth  # (N,)
        d = p.sum(1) + t.sum(1) + self.smooth
        self.save(p, t, n, d, input.shape)
        return self.reduce(1 - n / d, len(n))

    def backward(self, grad: Tensor | float = 1.0) -> Tensor:
        p, t, n, d, input_shape = self.saved()
        scale = self.reduce_backward(grad, len(n)) / d  # (N,)
        grad_p = (n / d * scale).unsqueeze(1) - (2 * scale).unsqueeze(1) * t
        return sigmoid_backward(grad_p, p).view(input_shape)

    def extra_repr(self) -> str:
        smooth = "" if self.smooth == 1 else f"smooth={self.smooth}"
        return ", ".join(part for part in (super().extra_repr(), smooth) if part)
