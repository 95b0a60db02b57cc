"""Negative log likelihood on a processor: one tensor of zeros, filled where the right classes are."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ds_core.functional.nll import Saved, nll
from ds_core.kernels import kernel


@kernel(nll)
class NLLKernel:
    """What the mean divides by is read as a number, which costs nothing here."""

    @staticmethod
    def forward(
        x: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        dim: int = 1,
    ) -> tuple[Tensor, Saved]:
        right = target.unsqueeze(dim)
        ignored = right == ignore_index
        if weight is None and not ignored.any():  # each position counts alike: one number for all
            n = float(right.numel())
            each = 1 / n if n and reduction == "mean" else 1.0
            picked, share = x.gather(dim, right), x.new_full((), each)
            values = picked.neg_() if reduction == "none" else picked.sum().mul_(-each)
        else:
            right, share = right.clamp(0, x.shape[dim] - 1), (~ignored).to(x.dtype)
            if weight is not None:
                share.mul_(weight[right])
            n, picked = float(share.sum()), torch.where(share == 0, 0, x.gather(dim, right))
            if reduction == "mean":
                share.mul_(1 / n if n else 0.0)
            values = picked.mul_(share).neg_()
            values = values if reduction == "none" else values.sum()
        loss = values.squeeze(dim) if reduction == "none" else values
        return loss if n or reduction != "mean" else loss + math.nan, Saved(right, share, x.shape, dim)

    @staticmethod
    def backward(grad: Tensor | float, saved: Saved) -> Tensor:
        index, share, shape, dim = saved
        if isinstance(grad, Tensor) and grad.dim():  # of each position
            grad = grad.unsqueeze(dim)
        return share.new_zeros(shape).scatter_(dim, index, (-grad * share).expand(index.shape))
