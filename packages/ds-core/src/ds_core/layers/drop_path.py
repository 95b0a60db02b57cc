"""DropPath: whole samples dropped from a part of a network, which is to be skipped for them."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.checks import check_floating, shape
from ds_core.kernels import dispatch
from ds_core.layers.dropout import draw_kept
from ds_core.module import InputGrad, Module

dropout, dropout_backward = dispatch(functional.dropout)


@final
class DropPath(Module):
    """Sets each sample to zero with probability p in training; the identity in eval mode.

    y = x m / (1 - p) with m = 0 or 1 at random for each sample,   dL/dx = g m / (1 - p)

    Around a part f of a residual network, x + drop_path(f(x)), it leaves that part out for some samples: the
    network is shallower while it learns, and each part learns to do without the others (stochastic depth).

    Args:
        drop_prob: p, the probability of dropping a sample.
        scale_by_keep: whether what is kept is divided by 1 - p, so that the mean stays.
        dim: the dimension of the samples.
        generator: source of the random numbers; None for torch's global one, which is also used in a step
            that is compiled.

    Shape:
        x ``(N, ...)`` -> the same.

    Raises:
        ValueError: if p is not between 0 and 1, or x has no such dimension.
        TypeError: if x is not floating point.

    Source: Huang et al., Deep Networks with Stochastic Depth (2016), section 3; Larsson et al., FractalNet
    (2016), whence the name.
    """

    def __init__(
        self,
        drop_prob: float = 0.0,
        scale_by_keep: bool = True,
        *,
        dim: int = 0,
        generator: torch.Generator | None = None,
    ) -> None:
        if not 0 <= drop_prob <= 1:
            raise ValueError(f"DropPath: expected a probability drop_prob from 0 to 1, got {drop_prob}")
        self.drop_prob = drop_prob
        self.scale_by_keep = scale_by_keep
        self.dim = dim
        self.generator = generator

    def forward(self, input: Tensor) -> Tensor:
        check_floating(self, input)
        if not -input.dim() <= self.dim < input.dim():
            raise ValueError(
                f"{self.label()}: expected input with a dimension {self.dim}, got {shape(input)}"
            )
        y, saved = input, None
        if self.training and self.drop_prob > 0:
            sizes = [1] * input.dim()
            sizes[self.dim] = input.shape[self.dim]
            kept = draw_kept(tuple(sizes), self.drop_prob, input.device, self.generator)
            y, saved = dropout(input, kept, self.drop_prob if self.scale_by_keep else 0.0)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        if not self.input_grad:
            return None
        return grad if saved is None else dropout_backward(grad, saved)

    def extra_repr(self) -> str:
        text = f"drop_prob={self.drop_prob}" + ("" if self.scale_by_keep else ", scale_by_keep=False")
        return text + (f", dim={self.dim}" if self.dim else "")
