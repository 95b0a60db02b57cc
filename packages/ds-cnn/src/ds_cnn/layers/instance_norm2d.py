"""InstanceNorm2d: each channel of each image normalised by itself."""

from __future__ import annotations

import math
from typing import Unpack, final

import torch
from ds_core import InputGrad
from ds_core import functional as core
from ds_core.kernels import dispatch
from ds_core.layers.batch_norm import BatchNorm
from ds_core.layers.normalization import NormOptions
from torch import Tensor

from ds_cnn import functional

instance_norm, instance_norm_backward = dispatch(functional.instance_norm, half=torch.float32)
frozen_batch_norm, frozen_batch_norm_backward = dispatch(core.frozen_batch_norm, half=torch.float32)


@final
class InstanceNorm2d(BatchNorm):
    """Normalises each channel of each image by its own mean and variance over the pixels.

    y = n w + b,   n = (x - mean x) / sqrt(var x + eps)

    As batch norm of a batch of one image; what one image is turned into does not depend on the others.

    Args:
        num_features: C, the number of channels.
        eps: added to the variance.
        momentum: share of the newest batch in the running averages; None for 0, as in torch.nn.
        affine: whether w and b are learned; if not, they are 1 and 0.
        track_running_stats: whether running averages are kept in training and used in eval mode.
        device: of parameters and running averages.
        dtype: of parameters and running averages.
        options: ``bias``, ``init`` and ``generator``, see :class:`NormOptions`.

    Shape:
        x ``(N, C, H, W)`` or ``(C, H, W)`` -> the same; weight, bias, running_mean and running_var ``(C,)``.

    Raises:
        ValueError: if x has another shape, or a single pixel, which has no variance.
        TypeError: if x has another dtype than the weight.

    Source: Ulyanov, Vedaldi, Lempitsky, Instance Normalization: The Missing Ingredient for Fast Stylization
    (2016), equation 2.
    """

    layouts = ("(N, C, H, W)",)

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Unpack[NormOptions],
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, **options)

    def forward(self, input: Tensor) -> Tensor:
        x = input.unsqueeze(0) if input.dim() == 3 else input
        count = math.prod(x.shape[2:])
        self.check(x, count)
        if self.frozen:
            stats = (self.running_mean, self.running_var)
            y, saved = frozen_batch_norm(x, *stats, self.weight, self.bias, self.eps)
        else:
            (y, mean, var), saved = instance_norm(x, self.weight, self.bias, self.eps)
            self.follow(mean, var, count)
        self.save(saved, self.frozen)
        return y.view(input.shape)

    def backward(self, grad: Tensor) -> InputGrad:
        saved, frozen = self.saved()
        norm_backward = frozen_batch_norm_backward if frozen else instance_norm_backward
        wanted = self.wants("input", "weight", "bias")
        g = grad.unsqueeze(0) if grad.dim() == 3 else grad
        grad_x, grad_weight, grad_bias = norm_backward(g, saved, wanted=wanted)
        self.add_grad("weight", grad_weight)
        self.add_grad("bias", grad_bias)
        return None if grad_x is None else grad_x.view(grad.shape)

    @torch.no_grad()
    def follow(self, mean: Tensor, var: Tensor, count: int) -> None:
        """Moves the running averages towards the images' mean statistics; batches are never counted."""
        if self.running_mean is None or self.running_var is None or not self.training:
            return
        if count and len(mean):
            share = self.momentum or 0.0
            self.running_mean.lerp_(mean.mean(0), share)
            self.running_var.lerp_(var.mean(0) * (count / (count - 1)), share)
