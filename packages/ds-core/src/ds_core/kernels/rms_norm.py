"""Root-mean-square norm as rows of a matrix, in memory that is no longer needed."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ds_core.functional.rms_norm import rms_norm
from ds_core.kernels import kernel
from ds_core.kernels.layer_norm import like, row, rows
from ds_core.kernels.normalization import normalize, normalize_backward, scale_shift
from ds_core.kernels.remade import remember


@kernel(rms_norm)
class RMSNormKernel:
    """Views x as ``(rows, features)``."""

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor | None, eps: float, dims: tuple[int, ...] = (-1,), *, keep: bool = True
    ) -> tuple[Tensor, Any]:
        w = row(weight)
        y, by = normalize(rows(x, dims), (1,), eps, w, centre=False)
        y, shape = y.view(x.shape), x.shape
        if keep:
            remember(y, lambda: scale_shift(by.n, w, None, torch.empty_like(by.n)).view(shape), w)
        return y, (by.n, by.rstd, weight)

    @staticmethod
    def backward(grad: Tensor, saved: Any, *, wanted: tuple[bool, bool] | None = None) -> Any:
        n, r, weight = saved
        wants = (*(wanted or (True, weight is not None)), False)
        grads = normalize_backward(grad.reshape(n.shape), n, r, (1,), row(weight), wants, centre=False)
        return like(grads.x, grad), like(grads.weight, weight)
