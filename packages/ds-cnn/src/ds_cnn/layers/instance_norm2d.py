"""InstanceNorm2d: each channel of each image normalised by itself."""

from __future__ import annotations

import torch
from ds_core.initializers import Init
from ds_core.layers.batch_norm import BatchNorm
from torch import Tensor


class InstanceNorm2d(BatchNorm):
    """Normalises each channel of each image by its own mean and variance over the pixels.

    n = (x - mean(x)) / sqrt(var(x) + eps),   y = n W + b

    With g = dL/dy and h = g W:   dL/dW = sum of g n,   dL/db = sum of g,
    dL/dx = (h - mean(h) - n mean(h n)) / sqrt(var(x) + eps)

    As batch norm of a batch of one image; what one image is turned into does not depend on the others.

    Args:
        num_features: C, the number of channels.
        eps: added to the variance.
        momentum: share of the newest batch in the running averages; None for 0, as in torch.nn.
        affine: whether W and b are learned; if not, they are 1 and 0.
        track_running_stats: whether running averages are kept in training and used in eval mode.
        init: how W starts: a name or function of :mod:`ds_core.initializers`; None for ones.
        generator: source of the initial values; None for torch's global one.

    Shape:
        x ``(N, C, H, W)`` or ``(C, H, W)`` -> the same; weight, bias, running_mean and running_var ``(C,)``.

    Raises:
        ValueError: if x has another shape, or a single pixel, which has no variance.
        TypeError: if x has another dtype than the weight.

    Source: Ulyanov, Vedaldi, Lempitsky, Instance Normalization: The Missing Ingredient for Fast Stylization
    (2016), equation 2.
    """

    mean_dims = (2,)
    layouts = ("(N, C, H, W)",)

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        *,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, init=init, generator=generator
        )

    def arrange(self, x: Tensor) -> Tensor:
        return super().arrange(x.unsqueeze(0) if x.dim() == 3 else x)

    def _share(self) -> float:
        return self.momentum or 0.0  # torch.nn's instance norms never count their batches
