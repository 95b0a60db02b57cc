"""L1Loss: the mean of absolute errors."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.elementary import reuse
from ds_core.losses.pointwise_loss import PointwiseLoss


class L1Loss(PointwiseLoss):
    """Takes the distance between prediction and target.

    l = |x - t|,   dl/dx = sign(x - t)

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        prediction and target: the same, any -> scalar (or that shape for "none").

    Raises:
        ValueError: if the shapes differ.
        TypeError: if the prediction is not floating point, or the target is of another floating point type.

    Source: Bishop, Pattern Recognition and Machine Learning (2006), section 1.5.5.
    """

    def values(self, input: Tensor, target: Tensor) -> Tensor:
        difference = input - target
        return torch.abs(difference, out=reuse(difference))

    def slope(self, input: Tensor, target: Tensor) -> Tensor:
        return (input - target).sign_()
