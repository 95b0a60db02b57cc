"""Negative log likelihood on a processor: one tensor of zeros, filled where the right classes are."""

from __future__ import annotations

from torch import Tensor

from ds_core.functional.nll import Saved, nll
from ds_core.kernels import kernel


@kernel(nll)
class NLLKernel:
    """The formula forward, and a backward in place."""

    forward = staticmethod(nll)

    @staticmethod
    def backward(grad: Tensor | float, saved: Saved) -> Tensor:
        index, share, shape, dim = saved
        if isinstance(grad, Tensor) and grad.dim():  # of each position
            grad = grad.unsqueeze(dim)
        return share.new_zeros(shape).scatter_(dim, index, -grad * share)
