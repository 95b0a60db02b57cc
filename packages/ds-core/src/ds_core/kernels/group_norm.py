"""Group norm in memory that is no longer needed."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ds_core.functional.group_norm import group_norm
from ds_core.kernels import kernel
from ds_core.kernels.layer_norm import like
from ds_core.kernels.normalization import normalize, normalize_backward


@kernel(group_norm)
class GroupNormKernel:
    """Views x as ``(N, G, C / G, positions)``."""

    @staticmethod
    def forward(
        x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Any]:
        grouped = x.reshape(x.shape[0], groups, x.shape[1] // groups, x[:1, :1].numel() if len(x) else 0)
        y, by = normalize(grouped, (2, 3), eps, _grouped(weight, groups), _grouped(bias, groups))
        return y.view(x.shape), (by.n, by.rstd, weight, bias)

    @staticmethod
    def backward(grad: Tensor, saved: Any, *, wanted: tuple[bool, bool, bool] | None = None) -> Any:
        n, rstd, weight, bias = saved
        wanted = wanted or (True, weight is not None, bias is not None)
        scale = _grouped(weight, n.shape[1])
        grads = normalize_backward(grad.reshape(n.shape), n, rstd, (2, 3), scale, wanted)
        return like(grads.x, grad), like(grads.weight, weight), like(grads.bias, bias)


def _grouped(parameter: Tensor | None, groups: int) -> Tensor | None:
    """Views a parameter ``(C,)`` as ``(1, G, C / G, 1)``."""
    return None if parameter is None else parameter.view(1, groups, -1, 1)
