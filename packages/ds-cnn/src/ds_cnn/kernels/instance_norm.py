"""Instance norm in memory that is no longer needed."""

from __future__ import annotations

import math
from typing import Any

from ds_core.kernels import kernel
from ds_core.kernels.normalization import normalize, normalize_backward
from torch import Tensor

from ds_cnn.functional.instance_norm import instance_norm


@kernel(instance_norm)
class InstanceNormKernel:
    """Views x as ``(N, C, pixels)``."""

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[tuple[Tensor, Tensor, Tensor], Any]:
        y, by = normalize(_pixels(x), (2,), eps, _over(weight), _over(bias))
        assert by.mean is not None
        return (y.view(x.shape), by.mean.squeeze(2), by.var.squeeze(2)), (by.n, by.rstd, weight, bias)

    @staticmethod
    def backward(grad: Tensor, saved: Any, *, wanted: tuple[bool, bool, bool] | None = None) -> Any:
        n, rstd, weight, bias = saved
        wanted = wanted or (True, weight is not None, bias is not None)
        grads = normalize_backward(_pixels(grad), n, rstd, (2,), _over(weight), wanted)
        grad_x = None if grads.x is None else grads.x.view(grad.shape)
        return grad_x, *(None if g is None else g.flatten() for g in (grads.weight, grads.bias))


def _pixels(x: Tensor) -> Tensor:
    """Views ``(N, C, H, W)`` as ``(N, C, pixels)``."""
    return x.reshape(x.shape[0], x.shape[1], math.prod(x.shape[2:]))


def _over(parameter: Tensor | None) -> Tensor | None:
    """Views a parameter ``(C,)`` as ``(1, C, 1)``."""
    return None if parameter is None else parameter.view(1, -1, 1)
