"""MSELoss: the mean of squared errors."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.elementary import reuse
from ds_core.losses.pointwise_loss import PointwiseLoss


class MSELoss(PointwiseLoss):
    """Squares the difference between prediction and target.

    l = (x - t)^2,   dl/dx = 2 (x - t)

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        prediction and target: the same, any -> scalar (or that shape for "none").

    Raises:
        ValueError: if the shapes differ: broadcasting here is nearly always a mistake.
        TypeError: if the prediction is not floating point, or the target is of another floating point type.

    Source: Legendre, Nouvelles méthodes pour la détermination des orbites des comètes (1805).
    """

    def values(self, input: Tensor, target: Tensor) -> Tensor:
        difference = input - target
        return torch.mul(difference, difference, out=reuse(difference))

    def slope(self, input: Tensor, target: Tensor) -> Tensor:
        return (input - target).mul_(2)
