"""FrozenBatchNorm2d: batch norm whose statistics and weights stay as they are."""

from __future__ import annotations

import torch
from ds_core import InputGrad, Module
from ds_core.checks import check_dtype, shape
from torch import Tensor


class FrozenBatchNorm2d(Module):
    """Scales and shifts each channel by fixed numbers: batch norm in eval mode, never trained.

    s = W / sqrt(running_var + eps),   y = s x + b - s running_mean,   dL/dx = s dL/dy

    Detectors start from a trained backbone and see few images at a time, too few to take statistics of. All
    four are buffers: no optimizer finds them.

    Args:
        num_features: C, the number of channels.
        eps: added to the variance.

    Shape:
        x ``(N, C, H, W)`` or ``(C, H, W)`` -> the same; weight, bias, running_mean and running_var ``(C,)``.

    Raises:
        ValueError: if x has another shape.
        TypeError: if x has another dtype than the weight.

    Source: He et al., Mask R-CNN (2017), section 3.1, on keeping batch norm fixed; torchvision's namesake.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        self.num_features = num_features
        self.eps = eps
        self.register_buffer("weight", torch.ones(num_features))
        self.register_buffer("bias", torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() not in (3, 4) or x.shape[-3] != self.num_features:
            c = self.num_features
            raise ValueError(
                f"{self.label()}: expected input of shape (N, {c}, H, W) or ({c}, H, W), got {shape(x)}"
            )
        check_dtype(self, x, self.weight.dtype)
        self.save()
        scale = self._scale()
        shift = self.bias.view(-1, 1, 1) - scale * self.running_mean.view(-1, 1, 1)
        return x * scale + shift

    def backward(self, grad: Tensor) -> InputGrad:
        self.saved()
        return grad * self._scale() if self.input_grad else None

    def _scale(self) -> Tensor:
        return (self.weight * torch.rsqrt(self.running_var + self.eps)).view(-1, 1, 1)

    def extra_repr(self) -> str:
        return f"{self.num_features}" + ("" if self.eps == 1e-5 else f", eps={self.eps}")
