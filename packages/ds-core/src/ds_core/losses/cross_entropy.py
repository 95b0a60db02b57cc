"""CrossEntropyLoss: how surprised the scores are by the right class."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.kernels import dispatch
from ds_core.losses.class_loss import ClassLoss
from ds_core.losses.loss import Reduction
from ds_core.module import InputGrad

cross_entropy, cross_entropy_backward = dispatch(functional.cross_entropy, half=torch.float32)
softmax, _ = dispatch(functional.softmax, half=torch.float32)


@final
class CrossEntropyLoss(ClassLoss):
    """Takes scores (logits) over classes, and the right class or a probability for each.

    With p = softmax(x), a target t over the classes and T = sum_c t_c:

    l = -sum_c t_c log p_c = T log sum_c exp(x_c) - sum_c t_c x_c,   dl/dx = T p - t

    For a class index y: t_c = w_y (1 - s) [c = y] + w_c s / C, where w weighs the classes and s is the label
    smoothing. For probabilities q: t_c = w_c ((1 - s) q_c + s / C).

    Args:
        weight: w, ``(C,)``; None for 1.
        ignore_index: the class index that means "no target": loss 0 there, and not counted by the mean.
        reduction: "mean", "sum" or "none". The mean divides by the sum of w_y over the positions that are
            not ignored; with probabilities, by the number of positions.
        label_smoothing: s from 0 to 1: how much of the target is spread over all classes.
        dim: where the classes are: 1, as in torch.nn, or -1 for a language model's ``(B, T, C)``.

    Shape:
        x ``(C,)``, ``(N, C)`` or ``(N, C, ...)``; with ``dim=-1``, ``(..., C)``. Target: class indices with
        x's shape less the class dimension, or probabilities with x's shape. Result: a scalar; for "none",
        the shape of class indices.

    Raises:
        IndexError: if a class index is not a class.
        ValueError: if shapes do not fit, or the label smoothing is not from 0 to 1.
        TypeError: if the scores are not floating point, or the target is boolean.

    Source: Szegedy et al., Rethinking the Inception Architecture (2015), section 7, for the smoothing.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
        label_smoothing: float = 0.0,
        *,
        dim: int = 1,
    ) -> None:
        super().__init__(weight, ignore_index, reduction, dim=dim)
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"CrossEntropyLoss: expected label_smoothing from 0 to 1, got {label_smoothing}")
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        dim = self.class_dim(input)
        target = self.checked_target(input, target, dim)
        options = (self.weight, self.ignore_index, self.label_smoothing, self.reduction, dim)
        loss, saved = cross_entropy(input, target, *options)
        self.save(saved)
        return loss

    def backward(self, grad: Tensor | float = 1.0) -> InputGrad:
        (saved,) = self.saved()
        return cross_entropy_backward(grad, saved)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Returns the probabilities that scores stand for: their softmax over the classes."""
        p: Tensor = softmax(outputs, self.class_dim(outputs))[0]
        return p

    def extra_repr(self) -> str:
        smoothing = f"label_smoothing={self.label_smoothing}" if self.label_smoothing else ""
        return ", ".join(part for part in (super().extra_repr(), smoothing) if part)
