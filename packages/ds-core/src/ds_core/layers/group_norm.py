"""GroupNorm: the channels of each example normalised in groups."""

from __future__ import annotations

from typing import Unpack, final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.checks import check_like, shape
from ds_core.kernels import dispatch
from ds_core.layers.normalization import Normalization, NormOptions
from ds_core.module import InputGrad

group_norm, group_norm_backward = dispatch(functional.group_norm, half=torch.float32)


@final
class GroupNorm(Normalization):
    """Normalises each group of an example's channels by its own mean and variance.

    y = n w + b,   n = (x - mean x) / sqrt(var x + eps)   (over a group's channels and all positions)

    Args:
        num_groups: G.
        num_channels: C, a multiple of G.
        eps: added to the variance.
        affine: whether w and b are learned; if not, they are 1 and 0.
        device: of the parameters.
        dtype: of the parameters.
        options: ``bias``, ``init`` and ``generator``, see :class:`NormOptions`.

    Shape:
        x ``(N, C, ...)`` -> the same; weight and bias ``(C,)``.

    Raises:
        ValueError: if C is not a multiple of G, or x has not C channels in dimension 1.
        TypeError: if x has another dtype than the weight.

    Source: Wu, He, Group Normalization (2018), equations 1 to 7.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Unpack[NormOptions],
    ) -> None:
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: expected num_channels to be a multiple of num_groups, "
                f"got {num_channels} channels and {num_groups} groups"
            )
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.make_parameters((num_channels,), affine, device, dtype, **options)

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() < 2 or input.shape[1] != self.num_channels:
            expected = f"(N, {self.num_channels}, ...)"
            raise ValueError(f"{self.label()}: expected input of shape {expected}, got {shape(input)}")
        check_like(self, input, self.weight)
        y, saved = group_norm(input, self.num_groups, self.weight, self.bias, self.eps)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        wanted = self.wants("input", "weight", "bias")
        grad_x, grad_weight, grad_bias = group_norm_backward(grad, saved, wanted=wanted)
        self.add_grad("weight", grad_weight)
        self.add_grad("bias", grad_bias)
        return grad_x

    def extra_repr(self) -> str:
        text = f"{self.num_groups}, {self.num_channels}"
        text += "" if self.eps == 1e-5 else f", eps={self.eps}"
        if self.weight is None:
            return text + ", affine=False"
        return text + ("" if self.bias is not None else ", bias=False")
