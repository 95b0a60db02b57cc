"""FrozenBatchNorm2d: batch norm whose statistics and weights stay as they are."""

from __future__ import annotations

import math
from typing import final

import torch
from ds_core import InputGrad, Module, functional
from ds_core.checks import check_dtype, shape
from ds_core.engines import autograd_records
from ds_core.kernels import dispatch, switch
from ds_core.kernels.batch_norm import scale_and_shift
from torch import Tensor

from ds_cnn.layers.conv2d import Conv2d

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

    def after(self, conv: Module, x: Tensor) -> Tensor:
        """Returns what it makes of a convolution's output, ``self(conv(x))``, without a pass over that.

        s scales the kernels, and the shift is their bias: s (W * x) + t = (s W) * x + t. Backward is as ever,
        this layer's, then the convolution's. The layers run one after the other where they do not fit, where
        weights are more than outputs, where somebody watches or replaces one of them, and where formulas run.

        Args:
            conv: the layer before.
            x: its input.
        """
        if not self._joins(conv, x):
            return self(conv(x))
        rstd = torch.rsqrt(self.running_var + self.eps)
        self.save(None)
        return conv(x, *scale_and_shift(self.running_mean, rstd, self.weight, self.bias))

    def _joins(self, conv: Module, x: Tensor) -> bool:
        """Says whether s and the shift may be the convolution's, and gain by it."""
        if not (
            type(conv) is Conv2d
            and conv.bias is None
            and conv.out_channels == self.num_features
            and conv.weight.dtype == self.weight.dtype
            and self.weight.dtype in (torch.float32, torch.float64)
            and switch.kernels
            and not autograd_records()
            and not torch.compiler.is_compiling()
            and not any(name in vars(layer) for layer in (conv, self) for name in ("forward", "backward"))
        ):
            return False
        positions = math.prod(conv.geometry.output_size(x.shape[2:])) if x.dim() == 4 else 0
        return conv.weight.numel() <= len(x) * self.num_features * positions

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        if saved is None:  # the convolution's backward has s
            return grad
        g = grad.unsqueeze(0) if grad.dim() == 3 else grad
        grad_x, *_ = frozen_batch_norm_backward(g, saved, wanted=(self.input_grad, False, False))
        return None if grad_x is None else grad_x.view(grad.shape)

    def extra_repr(self) -> str:
        return f"{self.num_features}" + ("" if self.eps == 1e-5 else f", eps={self.eps}")
