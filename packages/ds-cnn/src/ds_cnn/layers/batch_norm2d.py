"""BatchNorm2d: each channel of images normalised over the batch."""

from __future__ import annotations

from typing import Unpack, final

import torch
from ds_core import InputGrad
from ds_core import functional as core
from ds_core.kernels import dispatch
from ds_core.layers.batch_norm import BatchNorm
from ds_core.layers.normalization import NormOptions
from torch import Tensor

from ds_cnn import functional
from ds_cnn.layers.pooling import check_pooling_algorithm

batch_norm, batch_norm_backward = dispatch(core.batch_norm, half=torch.float32)
frozen_batch_norm, frozen_batch_norm_backward = dispatch(core.frozen_batch_norm, half=torch.float32)
batch_norm_loop, batch_norm_loop_backward = dispatch(functional.batch_norm_loop, half=torch.float32)


@final
class BatchNorm2d(BatchNorm):
    """Normalises each channel by its mean and variance over the batch and all pixels.

    y = n w + b,   n = (x - mean x) / sqrt(var x + eps)

    In training, running averages follow the mean and the (unbiased) variance of the batches; in eval mode
    they take their place.

    Args:
        num_features: C, the number of channels.
        eps: added to the variance.
        momentum: share of the newest batch in the running averages; None for the mean of all batches.
        affine: whether w and b are learned; if not, they are 1 and 0.
        track_running_stats: whether there are running averages; if not, eval mode uses the batch, too.
        device: of parameters and running averages.
        dtype: of parameters and running averages.
        options: ``bias``, ``init`` and ``generator``, see :class:`NormOptions`.
        algorithm: "vectorised", or "loop", the definition, pixel by pixel.

    Shape:
        x ``(N, C, H, W)`` -> the same; weight, bias, running_mean and running_var ``(C,)``,
        num_batches_tracked ``()``.

    Raises:
        ValueError: if x has another shape, or only one value per channel to take a variance of.
        TypeError: if x has another dtype than the weight.

    Source: Ioffe, Szegedy, Batch Normalization (2015), algorithms 1 and 2, and section 3.2.
    """

    layouts = ("(N, C, H, W)",)

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        algorithm: str = "vectorised",
        **options: Unpack[NormOptions],
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, **options)
        self.algorithm = check_pooling_algorithm("BatchNorm2d", algorithm)

    def forward(self, input: Tensor) -> Tensor:
        count = input.numel() // self.num_features
        self.check(input, count)
        if self.frozen:
            stats = (self.running_mean, self.running_var)
            y, saved = frozen_batch_norm(input, *stats, self.weight, self.bias, self.eps)
            self.save(saved, True)
            return y
        norm = batch_norm_loop if self.algorithm == "loop" else batch_norm
        (y, mean, var), saved = norm(input, self.weight, self.bias, self.eps, keep=self.recording)
        self.track(mean, var, count)
        self.save(saved, False)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        saved, frozen = self.saved()
        norm_backward = batch_norm_loop_backward if self.algorithm == "loop" else batch_norm_backward
        norm_backward = frozen_batch_norm_backward if frozen else norm_backward
        wanted = self.wants("input", "weight", "bias")
        grad_x, grad_weight, grad_bias = norm_backward(grad, saved, wanted=wanted)
        self.add_grad("weight", grad_weight)
        self.add_grad("bias", grad_bias)
        return grad_x
