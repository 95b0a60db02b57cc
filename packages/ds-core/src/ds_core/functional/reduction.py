"""Reduction: the values of a loss, and what each of them counts in the result."""

from __future__ import annotations

from torch import Tensor


def reduce(values: Tensor, reduction: str = "mean") -> tuple[Tensor, float]:
    """Reduces values l to one: L = share (sum of l); for "none", L = l.

    The share is 1 / n for the "mean" of n values, 1 / N for the "batchmean" of values ``(N, ...)``, and 1 for
    "sum" and "none"; dL/dl = share in every case. The mean of nothing is NaN.

    Returns:
        L and the share.
    """
    if reduction == "none":
        return values, 1.0
    if reduction == "sum":
        return values.sum(), 1.0
    n = values.shape[0] if reduction == "batchmean" and values.dim() else values.numel()
    return values.sum() / n, 1 / max(n, 1)
