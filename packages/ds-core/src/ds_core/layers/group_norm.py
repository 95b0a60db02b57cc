"""GroupNorm: the channels of each example normalised in groups."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ds_core.checks import shape
from ds_core.initializers import Init
from ds_core.layers.normalization import Normalization


class GroupNorm(Normalization):
    """Normalises each group of an example's channels by its own mean and variance.

    n = (x - mean(x)) / sqrt(var(x) + eps),   y = n W + b   (means over a group's channels and all positions)

    With g = dL/dy and h = g W:   dL/dW = sum of g n,   dL/db = sum of g,
    dL/dx = (h - mean(h) - n mean(h n)) / sqrt(var(x) + eps)

    Args:
        num_groups: G.
        num_channels: C, a multiple of G.
        eps: added to the variance.
        affine: whether W and b are learned; if not, they are 1 and 0.
        bias: whether b is learned.
        init: how W starts: a name or function of :mod:`ds_core.initializers`; None for ones.
        generator: source of the initial values; None for torch's global one.

    Shape:
        x ``(N, C, ...)`` -> the same; weight and bias ``(C,)``.

    Raises:
        ValueError: if C is not a multiple of G, or x has not C channels in dimension 1.
        TypeError: if x has another dtype than the weight.

    Source: Wu, He, Group Normalization (2018), equations 1 to 7.
    """

    mean_dims = (2, 3)
    sum_dims = (0, 3)

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        bias: bool = True,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(
                f"{type(self).__name__}: expected num_channels to be a multiple of num_groups, "
                f"got {num_channels} channels and {num_groups} groups"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.broadcast_shape = (1, num_groups, num_channels // num_groups, 1)
        self.make_parameters((num_channels,), weight=affine, bias=bias, init=init, generator=generator)

    def arrange(self, x: Tensor) -> Tensor:
        if x.dim() < 2 or x.shape[1] != self.num_channels:
            raise ValueError(
                f"{self.label()}: expected input of shape (N, {self.num_channels}, ...), got {shape(x)}"
            )
        _, groups, channels, _ = self.broadcast_shape
        return x.reshape(len(x), groups, channels, math.prod(x.shape[2:]))  # (N, G, C / G, positions)

    def extra_repr(self) -> str:
        text = f"{self.num_groups}, {self.num_channels}"
        if self.weight is None:
            return text + ", affine=False"
        return text + ("" if self.bias is not None else ", bias=False")
