"""BatchNorm2d: each channel of images normalised over the batch."""

from __future__ import annotations

import torch
from ds_core import InputGrad
from ds_core.functional.normalization import Statistics
from ds_core.initializers import Init
from ds_core.layers.batch_norm import BatchNorm
from torch import Tensor

from ds_cnn.functional.batch_norm_loop import batch_norm, batch_norm_backward
from ds_cnn.layers.pooling import check_pooling_algorithm


class BatchNorm2d(BatchNorm):
    """Normalises each channel by its mean and variance over the batch and all pixels.

    n = (x - mean(x)) / sqrt(var(x) + eps),   y = n W + b

    With g = dL/dy and h = g W:   dL/dW = sum of g n,   dL/db = sum of g,
    dL/dx = (h - mean(h) - n mean(h n)) / sqrt(var(x) + eps)

    In training, running averages follow the mean and the (unbiased) variance of the batches; in eval mode
    they take their place.

    Args:
        num_features: C, the number of channels.
        eps: added to the variance.
        momentum: share of the newest batch in the running averages; None for the mean of all batches.
        affine: whether W and b are learned; if not, they are 1 and 0.
        track_running_stats: whether there are running averages; if not, eval mode uses the batch, too.
        bias: whether b is learned.
        algorithm: "vectorised", or "loop", the definition, pixel by pixel.
        init: how W starts: a name or function of :mod:`ds_core.initializers`; None for ones.
        generator: source of the initial values; None for torch's global one.

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
        *,
        bias: bool = True,
        algorithm: str = "vectorised",
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            num_features,
            eps,
            momentum,
            affine,
            track_running_stats,
            bias=bias,
            init=init,
            generator=generator,
        )
        self.algorithm = check_pooling_algorithm(type(self).__name__, algorithm)

    def normalize(self, x: Tensor) -> tuple[Tensor, Statistics]:
        if self.algorithm != "loop":
            return super().normalize(x)
        weight, bias = self._scale_and_shift(x)
        y, normalized, mean, var = batch_norm(x.unsqueeze(-1), self.eps, weight, bias)
        self.save(normalized, var)
        mean, var = mean.view(self.broadcast_shape), var.view(self.broadcast_shape)
        return y.squeeze(-1), Statistics(mean, var, torch.rsqrt(var + self.eps))

    def backward(self, grad: Tensor) -> InputGrad:
        if self.algorithm != "loop":
            return super().backward(grad)
        normalized, var = self.saved()
        weight, _ = self._scale_and_shift(grad)
        grad_x, grad_weight, grad_bias = batch_norm_backward(
            grad.reshape(normalized.shape), normalized, var, self.eps, weight
        )
        self.add_grad("weight", lambda: grad_weight)
        self.add_grad("bias", lambda: grad_bias)
        return grad_x.view(grad.shape) if self.input_grad else None

    def _scale_and_shift(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Returns W and b, or the 1 and 0 that stand for them."""
        weight = like.new_ones(self.num_features) if self.weight is None else self.weight
        return weight, like.new_zeros(self.num_features) if self.bias is None else self.bias
