"""FrozenBatchNorm2d: batch norm whose statistics and weights stay as they are."""

from __future__ import annotations

from typing import final

import torch
from ds_core import InputGrad, Module, functional
from ds_core.checks import check_dtype, shape
from ds_core.kernels import dispatch
from torch import Tensor

frozen_batch_norm, frozen_batch_norm_backward = dispatch(functional.frozen_batch_norm, half=torch.float32)


@final
class FrozenBatchNorm2d(Module):
    """Scales and shifts each channel by fixed numbers: batch norm in eval mode, never trained.

    s = W / sqrt(running_var + eps),   y = s x + b - s running_mean,   dL/dx = s dL/dy

    Detectors start from a trained backbone and see few images at a time, too few to take statistics of. All
    four are buffers: no optimizer finds them.

    Args:
        num_features: C, the number of channels.
        eps: added to the variance.
        device: of the buffers.
        dtype: of the buffers.

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

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.num_features, self.eps = num_features, eps
        for name, start in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(name, torch.full((num_features,), start, device=device, dtype=dtype))

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() not in (3, 4) or input.shape[-3] != self.num_features:
            c = self.num_features
            raise ValueError(
                f"{self.label()}: expected input of shape (N, {c}, H, W) or ({c}, H, W), got {shape(input)}"
            )
        check_dtype(self, input, self.weight.dtype)
        x = input.unsqueeze(0) if input.dim() == 3 else input
        numbers = (self.running_mean, self.running_var, self.weight, self.bias)
        y, saved = frozen_batch_norm(x, *numbers, self.eps, hints={"trained": False})
        self.save(saved)
        return y.view(input.shape)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        g = grad.unsqueeze(0) if grad.dim() == 3 else grad
        grad_x, *_ = frozen_batch_norm_backward(g, saved, wanted=(self.input_grad, False, False))
        return None if grad_x is None else grad_x.view(grad.shape)

    def extra_repr(self) -> str:
        return f"{self.num_features}" + ("" if self.eps == 1e-5 else f", eps={self.eps}")
