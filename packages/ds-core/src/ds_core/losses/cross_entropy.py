"""CrossEntropyLoss: how surprised the scores are by the right class."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.checks import shape
from ds_core.functional.elementary import exp, reuse
from ds_core.functional.softmax import softmax
from ds_core.losses.class_loss import ClassLoss, Picked
from ds_core.losses.loss import Reduction


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
        picked, t_y, spread, count = self._parts(input, target, dim)
        z = input - input.detach().amax(dim, keepdim=True)  # l of x and of x - max is the same
        total: Tensor | float = 0.0  # T, without the class dimension
        score: Tensor | float = 0.0  # sum_c t_c z_c
        if picked is not None:
            total, score = t_y, t_y * picked.take(z, dim)
        if spread is not None:
            total = total + spread.expand_as(z).sum(dim)
            score = score + (spread * z).sum(dim)
        e = exp(z, out=reuse(z))
        normaliser = e.sum(dim)  # p = e / normaliser
        self.save(e, normaliser, total, picked, t_y, spread, count, dim)
        return self.reduce(total * normaliser.log() - score, count)

    def backward(self, grad: Tensor | float = 1.0) -> Tensor:
        e, normaliser, total, picked, t_y, spread, count, dim = self.saved()
        grad = self.reduce_backward(grad, count)  # one for all positions, or one for each
        grad_x = e.mul_((total * grad / normaliser).unsqueeze(dim))  # T p
        if picked is not None:
            grad_x.scatter_add_(dim, picked.index, (t_y * -grad).unsqueeze(dim))
        if spread is not None:
            if isinstance(grad, Tensor) and grad.dim() > 0:
                grad = grad.unsqueeze(dim)
            grad_x.sub_(spread * grad)
        return grad_x

    def _parts(
        self, scores: Tensor, target: Tensor, dim: int
    ) -> tuple[Picked | None, Tensor | float, Tensor | None, float]:
        """Returns the target t in two parts, either of which may be None, and what the mean divides by.

        One part is t_y for the class index y alone, so that no tensor of zeros with a one is ever built. The
        other is spread over all classes, and broadcasts with the scores.
        """
        weight: Tensor | float = 1.0
        if self.weight is not None:
            weight = self.weight.view(-1, *[1] * (scores.dim() - 1 - dim))  # (C, 1, ...)
        smoothing = self.label_smoothing / scores.shape[dim]
        if not target.is_floating_point():
            picked = self.pick(scores, target, dim)
            spread = (
                torch.ones_like(picked.index, dtype=scores.dtype) * (weight * smoothing)
                if smoothing
                else None
            )
            if spread is not None and picked.ignored is not None:
                spread = spread.masked_fill(picked.ignored.unsqueeze(dim), 0)
            t_y = picked.weight * (1 - self.label_smoothing) if smoothing else picked.weight
            return picked, t_y, spread, picked.count
        if target.shape != scores.shape:
            raise ValueError(
                f"{self.label()}: expected probabilities of the scores' shape {shape(scores)}, "
                f"got {shape(target)}"
            )
        if self.ignore_index >= 0:
            raise ValueError(f"{self.label()}: ignore_index has no meaning for probabilities as targets")
        spread = (target * (1 - self.label_smoothing) + smoothing) * weight
        return None, 0.0, spread, scores.numel() / max(scores.shape[dim], 1)

    def count(self, target: Tensor) -> float:
        if not target.is_floating_point():
            return super().count(target)
        dim = 0 if target.dim() == 1 else self.dim  # probabilities: every position counts alike
        return target.numel() / max(target.shape[dim], 1)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Returns the probabilities that scores stand for: their softmax over the classes."""
        with torch.no_grad():
            return softmax(outputs, self.class_dim(outputs))

    def extra_repr(self) -> str:
        smoothing = f"label_smoothing={self.label_smoothing}" if self.label_smoothing else ""
        return ", ".join(part for part in (super().extra_repr(), smoothing) if part)
