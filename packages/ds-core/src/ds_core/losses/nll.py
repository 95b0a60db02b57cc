"""NLLLoss: the negative log probability of the right class."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.losses.class_loss import ClassLoss


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
        picked = self.pick(input, target, dim)
        self.save(picked, input.shape, dim)
        return self.reduce(-picked.weight * picked.take(input, dim), picked.count)

    def backward(self, grad: Tensor | float = 1.0) -> Tensor:
        picked, input_shape, dim = self.saved()
        grad_x = torch.zeros(input_shape, dtype=picked.weight.dtype, device=picked.weight.device)
        grad_values = picked.weight * self.reduce_backward(grad, picked.count)
        return grad_x.scatter_(dim, picked.index, -grad_values.unsqueeze(dim))

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Returns the probabilities of which the outputs are the logarithms."""
        return outputs.exp()
