"""Batch norm in memory that is no longer needed."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ds_core.functional.batch_norm import batch_norm, frozen_batch_norm
from ds_core.kernels import kernel
from ds_core.kernels.layer_norm import like
from ds_core.kernels.normalization import normalize, normalize_backward, scale_shift


@kernel(batch_norm)
class BatchNormKernel:
    """Views x as ``(N, C, positions)``."""

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[tuple[Tensor, Tensor, Tensor], Any]:
        y, by = normalize(_positions(x), (0, 2), eps, _over(weight), _over(bias))
        assert by.mean is not None
        return (y.view(x.shape), by.mean.flatten(), by.var.flatten()), (by.n, by.rstd, weight, bias)

    @staticmethod
    def backward(grad: Tensor, saved: Any, *, wanted: tuple[bool, bool, bool] | None = None) -> Any:
        n, rstd, weight, bias = saved
        wanted = wanted or (True, weight is not None, bias is not None)
        grads = normalize_backward(grad.reshape(n.shape), n, rstd, (0, 2), _over(weight), wanted)
        return like(grads.x, grad), like(grads.weight, weight), like(grads.bias, bias)


@kernel(frozen_batch_norm)
class FrozenBatchNormKernel:
    """One scale and one shift for each channel; keeps x, and normalises it only for the weight's gradient."""

    @staticmethod
    def forward(
        x: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Any]:
        rstd = torch.rsqrt(var + eps)
        scale = rstd if weight is None else rstd * weight
        shift = -mean * scale if bias is None else bias - mean * scale
        positions = _positions(x)
        y = scale_shift(positions, _over(scale), _over(shift), out=torch.empty_like(positions))
        return y.view(x.shape), (x, mean, rstd, scale, weight, bias)

    @staticmethod
    def backward(grad: Tensor, saved: Any, *, wanted: tuple[bool, bool, bool] | None = None) -> Any:
        x, mean, rstd, scale, weight, bias = saved
        want_x, want_weight, want_bias = wanted or (True, weight is not None, bias is not None)
        g = _positions(grad)
        total = g.sum((0, 2)) if want_weight or want_bias else None
        grad_weight = None
        if want_weight and total is not None:  # sum of g n = (sum of g x - mean sum of g) rstd
            grad_weight = (g * _positions(x)).sum((0, 2)).sub_(mean * total).mul_(rstd)
        grad_x = g.mul(scale.view(1, -1, 1)).view(grad.shape) if want_x else None
        return grad_x, grad_weight, total if want_bias else None


def _positions(x: Tensor) -> Tensor:
    """Views ``(N, C, ...)`` as ``(N, C, positions)``."""
    return x.reshape(x.shape[0], x.shape[1], math.prod(x.shape[2:]))


def _over(parameter: Tensor | None) -> Tensor | None:
    """Views a parameter ``(C,)`` as ``(1, C, 1)``."""
    return None if parameter is None else parameter.view(1, -1, 1)
