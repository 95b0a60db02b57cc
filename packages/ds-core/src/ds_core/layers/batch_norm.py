"""BatchNorm: each channel normalised over the batch; BatchNorm1d: its form for features and sequences."""

from __future__ import annotations

from typing import Unpack, final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.checks import check_like, shape
from ds_core.kernels import dispatch
from ds_core.layers.normalization import Normalization, NormOptions
from ds_core.module import InputGrad

batch_norm, batch_norm_backward = dispatch(functional.batch_norm, half=torch.float32)
frozen_batch_norm, frozen_batch_norm_backward = dispatch(functional.frozen_batch_norm, half=torch.float32)


class BatchNorm(Normalization):
    """Base of the batch norms: options, running averages and checks; a subclass says which shapes it takes.

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

    Raises:
        ValueError: if x has another shape, or only one value per channel to take a variance of.
        TypeError: if x has another dtype than the weight.
    """

    layouts: tuple[str, ...]  # the accepted shapes, as "(N, C, L)"
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
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Unpack[NormOptions],
    ) -> None:
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.track_running_stats = tracked = track_running_stats
        self.make_parameters((num_features,), affine, device, dtype, **options)
        mean, var = (torch.full((num_features,), n, device=device, dtype=dtype) for n in (0.0, 1.0))
        self.register_buffer("running_mean", mean if tracked else None)
        self.register_buffer("running_var", var if tracked else None)
        self.register_buffer("num_batches_tracked", torch.tensor(0, device=device) if tracked else None)

    @property
    def frozen(self) -> bool:
        """Whether the running averages take the batch's place."""
        return not self.training and self.running_mean is not None

    def check(self, x: Tensor, averaged: int) -> None:
        """Checks shape and type of an input, ``averaged`` numbers of which make each channel's mean."""
        dims = [layout.count(",") + 1 for layout in self.layouts]
        if x.dim() not in dims or x.shape[1] != self.num_features:
            layouts = " or ".join(self.layouts).replace("C", str(self.num_features))
            raise ValueError(f"{self.label()}: expected input of shape {layouts}, got {shape(x)}")
        check_like(self, x, self.weight)
        if averaged == 1 and not self.frozen:
            raise ValueError(
                f"{self.label()}: expected more than one value per channel to normalise by, got input of "
                f"shape {shape(x)}; use a larger batch, or eval()"
            )

    @torch.no_grad()
    def track(self, mean: Tensor, var: Tensor, count: int) -> None:
        """Moves the running averages towards mean and variance ``(C,)`` of ``count`` values each."""
        if self.running_mean is None or self.running_var is None or not self.training:
            return
        share = self.share()
        if count == 0:
            return
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_((var * (count / (count - 1))).to(self.running_var.dtype), share)

    def share(self) -> float | Tensor:
        """Counts the batch, and returns its share in the running averages."""
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        self.num_batches_tracked += 1
        if self.momentum is not None:
            return self.momentum
        count = self.num_batches_tracked.double()  # an integer's reciprocal would be float32
        return (1 / count).to(self.running_mean)

    def extra_repr(self) -> str:
        text = f"{self.num_features}"
        text += "" if self.eps == 1e-5 else f", eps={self.eps}"
        text += "" if self.momentum == 0.1 else f", momentum={self.momentum}"
        text += "" if self.weight is not None else ", affine=False"
        text += "" if self.track_running_stats else ", track_running_stats=False"
        return text + (", bias=False" if self.weight is not None and self.bias is None else "")


@final
class BatchNorm1d(BatchNorm):
    """Normalises each feature, or each channel of a sequence, by its mean and variance over the batch.

    y = n w + b,   n = (x - mean x) / sqrt(var x + eps)

    Arguments and errors are those of :class:`BatchNorm`.

    Shape:
        x ``(N, C)`` or ``(N, C, L)`` -> the same; weight, bias, running_mean and running_var ``(C,)``,
        num_batches_tracked ``()``.

    Source: Ioffe, Szegedy, Batch Normalization (2015), algorithms 1 and 2.
    """

    layouts = ("(N, C)", "(N, C, L)")

    def forward(self, input: Tensor) -> Tensor:
        count = input.numel() // self.num_features
        self.check(input, count)
        if self.frozen:
            stats = (self.running_mean, self.running_var)
            y, saved = frozen_batch_norm(input, *stats, self.weight, self.bias, self.eps)
            self.save(saved, True)
            return y
        (y, mean, var), saved = batch_norm(input, self.weight, self.bias, self.eps, keep=self.recording)
        self.track(mean, var, count)
        self.save(saved, False)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        saved, frozen = self.saved()
        wanted = self.wants("input", "weight", "bias")
        norm_backward = frozen_batch_norm_backward if frozen else batch_norm_backward
        grad_x, grad_weight, grad_bias = norm_backward(grad, saved, wanted=wanted)
        self.add_grad("weight", grad_weight)
        self.add_grad("bias", grad_bias)
        return grad_x
