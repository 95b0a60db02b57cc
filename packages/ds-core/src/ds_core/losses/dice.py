"""DiceLoss: how little a predicted mask overlaps the true one."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.checks import shape
from ds_core.kernels import dispatch
from ds_core.losses.loss import Reduction
from ds_core.losses.pointwise_loss import PointwiseLoss
from ds_core.module import InputGrad

dice, dice_backward = dispatch(functional.dice, half=torch.float32)


@final
class DiceLoss(PointwiseLoss):
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
        target = self.checked(input, target)
        if input.dim() < 2:
            raise ValueError(f"{self.label()}: expected masks of shape (N, ...), got {shape(input)}")
        loss, saved = dice(input, target, self.smooth, self.reduction)
        self.save(saved)
        return loss

    def backward(self, grad: Tensor | float = 1.0) -> InputGrad:
        (saved,) = self.saved()
        return dice_backward(grad, saved)

    def extra_repr(self) -> str:
        smooth = "" if self.smooth == 1 else f"smooth={self.smooth}"
        return ", ".join(part for part in (super().extra_repr(), smooth) if part)
