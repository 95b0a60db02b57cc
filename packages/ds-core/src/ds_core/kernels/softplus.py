"""Softplus and LogSigmoid on a processor: powers of two, in place."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ds_core.functional.softplus import log_sigmoid, softplus
from ds_core.kernels import kernel
from ds_core.kernels.elementary import exp, sigmoid


@kernel(softplus)
class SoftplusKernel:
    """Below and above the threshold in one sum: the rectifier, and what softplus has beyond it."""

    @staticmethod
    def forward(
        x: Tensor, beta: float = 1.0, threshold: float = math.inf
    ) -> tuple[Tensor, tuple[Tensor, float]]:
        z = x * beta
        y = z.abs()
        exp(y, -1, out=y).log1p_()
        if threshold < math.inf:
            y.mul_(torch.le(z, threshold, out=torch.empty_like(z)))
        straight = x.clamp(min=0) if beta > 0 else x.clamp(max=0)  # max(z, 0) / beta
        y = straight.add_(y, alpha=1 / beta)
        return torch.where(z > threshold, x, y) if threshold < 0 else y, (z, threshold)

    @staticmethod
    def backward(grad: Tensor, saved: tuple[Tensor, float]) -> Tensor:
        z, threshold = saved
        slope = sigmoid(z)
        if threshold < math.inf:
            torch.maximum(slope, torch.gt(z, threshold, out=torch.empty_like(z)), out=slope)
        return slope.mul_(grad)


@kernel(log_sigmoid)
class LogSigmoidKernel:
    """min(x, 0) - log(1 + 2^(-|x| log2 e))."""

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        y = x.abs()
        exp(y, -1, out=y).log1p_()
        return torch.sub(x.clamp(max=0), y, out=y), x

    @staticmethod
    def backward(grad: Tensor, saved: Tensor) -> Tensor:
        return sigmoid(saved, -1).mul_(grad)
