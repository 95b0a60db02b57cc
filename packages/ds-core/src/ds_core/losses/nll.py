"""NLLLoss: the negative log probability of the right class."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.kernels import dispatch
from ds_core.losses.class_loss import ClassLoss
from ds_core.module import InputGrad

nll, nll_backward = dispatch(functional.nll, half=torch.float32)


@final
class NLLLoss(ClassLoss):
    """Takes log probabilities over classes, as from LogSoftmax, and the index of the right class.

    l = -w_y x_y,   dl/dx_c = -w_y [c = y]

    Args:
        weight: w, ``(C,)``; None for 1.
        ignore_index: the class index that means "no target": loss 0 there, and not counted by the mean.
        reduction: "mean", "sum" or "none". The mean divides by the sum of w_y over the positions that are
            not ignored.
        dim: where the classes are: 1, as in torch.nn, or -1 for ``(..., C)``.

    Shape:
        x ``(C,)``, ``(N, C)`` or ``(N, C, ...)``; with ``dim=-1``, ``(..., C)``. Target: x's shape less the
        class dimension. Result: a scalar; for "none", the target's shape.

    Raises:
        IndexError: if a class index is not a class.
        ValueError: if shapes do not fit.
        TypeError: if x is not floating point, or the target does not hold integers.
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        dim = self.class_dim(input)
        index = self.checked_index(input, target, dim)
        loss, saved = nll(input, index, self.weight, self.ignore_index, self.reduction, dim)
        self.save(saved)
        return loss

    def backward(self, grad: Tensor | float = 1.0) -> InputGrad:
        (saved,) = self.saved()
        return nll_backward(grad, saved)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Returns the probabilities of which the outputs are the logarithms."""
        return outputs.exp()
