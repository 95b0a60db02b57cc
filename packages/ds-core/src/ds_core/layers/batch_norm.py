"""BatchNorm: each channel normalised over the batch; BatchNorm1d: its form for features and sequences."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ds_core.checks import shape
from ds_core.functional.normalization import Statistics, scale_shift
from ds_core.initializers import Init
from ds_core.layers.normalization import Normalization


class BatchNorm(Normalization):
    """Normalises each channel by its mean and variance over the batch and all positions.

    n = (x - mean(x)) / sqrt(var(x) + eps),   y = n W + b

    With g = dL/dy and h = g W:   dL/dW = sum of g n,   dL/db = sum of g,
    dL/dx = (h - mean(h) - n mean(h n)) / sqrt(var(x) + eps)

    Base of the forms for a fixed number of positions: a subclass only says in ``layouts`` which shapes it
    accepts. In training, running averages follow the mean and the (unbiased) variance of the batches; in
    eval mode they take their place.

    Args:
        num_features: C, the number of channels.
        eps: added to the variance.
        momentum: share of the newest batch in the running averages; None for the mean of all batches.
        affine: whether W and b are learned; if not, they are 1 and 0.
        track_running_stats: whether there are running averages; if not, eval mode uses the batch, too.
        bias: whether b is learned.
        init: how W starts: a name or function of :mod:`ds_core.initializers`; None for ones.
        generator: source of the initial values; None for torch's global one.

    Shape:
        x ``(N, C, ...)`` -> the same; weight, bias, running_mean and running_var ``(C,)``,
        num_batches_tracked ``()``.

    Raises:
        ValueError: if x has another shape, or only one value per channel to take a variance of.
        TypeError: if x has another dtype than the weight.

    Source: Ioffe, Szegedy, Batch Normalization (2015), algorithms 1 and 2.
    """

    mean_dims: tuple[int, ...] = (0, 2)
    sum_dims = (0, 2)
    layouts: tuple[str, ...]  # the accepted shapes, as "(N, C, L)"
    eps: float
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.track_running_stats = track_running_stats
        self.broadcast_shape = (1, num_features, 1)
        self.make_parameters((num_features,), weight=affine, bias=bias, init=init, generator=generator)
        tracked = track_running_stats
        self.register_buffer("running_mean", torch.zeros(num_features) if tracked else None)
        self.register_buffer("running_var", torch.ones(num_features) if tracked else None)
        self.register_buffer("num_batches_tracked", torch.tensor(0) if tracked else None)

    def arrange(self, x: Tensor) -> Tensor:
        dims = [layout.count(",") + 1 for layout in self.layouts]
        if x.dim() not in dims or x.shape[1] != self.num_features:
            layouts = " or ".join(self.layouts).replace("C", str(self.num_features))
            raise ValueError(f"{self.label()}: expected input of shape {layouts}, got {shape(x)}")
        return x.reshape(len(x), self.num_features, math.prod(x.shape[2:]))  # (N, C, positions)

    def forward(self, x: Tensor) -> Tensor:
        arranged = self.checked(x)
        if not self.training and self.running_mean is not None and self.running_var is not None:
            y = self._normalize_by(self.running_mean, self.running_var, arranged)
        elif math.prod(arranged.shape[dim] for dim in self.mean_dims) == 1:
            raise ValueError(
                f"{self.label()}: expected more than one value per channel to normalise by, got input of "
                f"shape {shape(x)}; use a larger batch, or eval()"
            )
        else:
            y, statistics = self.normalize(arranged)
            if self.training:
                self._track(statistics, math.prod(arranged.shape[dim] for dim in self.mean_dims))
        return y.reshape(x.shape)

    def _normalize_by(self, mean: Tensor, var: Tensor, x: Tensor) -> Tensor:
        """Returns (x - mean) / sqrt(var + eps) W + b, as one scale and one shift per channel."""
        scale = torch.rsqrt(var + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        shift = -mean * scale
        if self.bias is not None:
            shift = shift + self.bias
        return scale_shift(x, scale.view(self.broadcast_shape), shift.view(self.broadcast_shape))

    @torch.no_grad()
    def _track(self, statistics: Statistics, count: int) -> None:
        """Moves the running averages towards the statistics of a batch, each of ``count`` values."""
        if self.running_mean is None or self.running_var is None:
            return
        share = self._share()
        if statistics.mean is None or count * statistics.mean.numel() == 0:
            return
        unbiased = statistics.var * (count / (count - 1))
        self.running_mean.lerp_(statistics.mean.mean(0).flatten(), share)
        self.running_var.lerp_(unbiased.mean(0).flatten(), share)

    def _share(self) -> float:
        """Counts the batch, and returns its share in the running averages."""
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        return 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum

    def extra_repr(self) -> str:
        text = f"{self.num_features}"
        text += "" if self.eps == 1e-5 else f", eps={self.eps}"
        text += "" if self.momentum == 0.1 else f", momentum={self.momentum}"
        text += "" if self.weight is not None else ", affine=False"
        text += "" if self.track_running_stats else ", track_running_stats=False"
        return text + (", bias=False" if self.weight is not None and self.bias is None else "")


class BatchNorm1d(BatchNorm):
    """Normalises each feature, or each channel of a sequence, over the batch; see :class:`BatchNorm`.

    Shape:
        x ``(N, C)`` or ``(N, C, L)`` -> the same.
    """

    layouts = ("(N, C)", "(N, C, L)")
