"""Softmax and its logarithm on a processor: powers of two, in the memory of what is no longer needed."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.softmax import Saved, log_softmax, softmax
from ds_core.kernels import elementary, kernel


@kernel(softmax)
class SoftmaxKernel:
    """The scores less their largest number become the exponentials, and these the probabilities."""

    @staticmethod
    def forward(x: Tensor, dim: int = -1, hidden_to_zero: bool = False) -> tuple[Tensor, Saved]:
        y = elementary.softmax(x, dim, hidden_to_zero=hidden_to_zero)
        return y, (y, dim)

    @staticmethod
    def backward(grad: Tensor, saved: Saved) -> Tensor:
        return elementary.softmax_backward(grad, *saved)


@kernel(log_softmax)
class LogSoftmaxKernel:
    """The probabilities are computed again in the backward, in the memory of the gradient."""

    @staticmethod
    def forward(x: Tensor, dim: int = -1) -> tuple[Tensor, Saved]:
        if x.numel() == 0:
            return x.clone(), (x, dim)
        z = x - x.amax(dim, keepdim=True)
        z.sub_(elementary.exp(z).sum(dim, keepdim=True).log_())
        return z, (z, dim)

    @staticmethod
    def backward(grad: Tensor, saved: Saved) -> Tensor:
        y, dim = saved
        p = elementary.exp(y)
        return torch.addcmul(grad, p, grad.sum(dim, keepdim=True), value=-1, out=p)
