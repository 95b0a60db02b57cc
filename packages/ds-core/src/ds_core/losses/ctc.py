"""CTCLoss: labels in order, without the times at which they are heard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.checks import check_floating, check_whole, shape
from ds_core.kernels import dispatch
from ds_core.losses.loss import Loss, Reduction
from ds_core.module import InputGrad

ctc, ctc_backward = dispatch(functional.ctc, half=torch.float32)

Lengths = Tensor | Sequence[int]


@final
class CTCLoss(Loss):
    """Takes log probabilities for each time, and the labels in order, wherever in time they are.

    L = -log(sum of p(path) over all paths that become the target);   dL/dx_t(k) = -(share of the paths that
    hear k at time t), x being the log probabilities

    A path becomes a target when repeated labels are written once and blanks left out. torch.nn's gradient is
    this one plus p_t(k); behind a log-softmax, where log probabilities come from, both are the same.

    Args:
        blank: the number of "nothing" among the classes.
        reduction: "mean" (each loss over its number of labels, then over the batch), "sum" or "none".
        zero_infinity: whether a target that its sequence is too short for counts 0, and has a gradient of 0.
            If not, its loss is infinite and its gradient NaN.

    Shape:
        log_probs ``(T, B, C)``; targets ``(B, S)``, filled up with any labels, or one after the other
        ``(sum of target_lengths,)``; both lengths ``(B,)`` -> scalar, or ``(B,)`` for "none". Without a
        batch: ``(T, C)``, ``(S,)``, two numbers -> scalar. ``backward`` returns the gradient of log_probs.

    Raises:
        TypeError: if log_probs are not floating point, or labels or lengths not integers.
        ValueError: if shapes do not fit, or a length is out of range.
        IndexError: if a label is none of the classes, or the blank.

    Source: Graves et al., Connectionist Temporal Classification (2006), sections 3 and 4.
    """

    def __init__(self, blank: int = 0, reduction: Reduction = "mean", zero_infinity: bool = False) -> None:
        super().__init__(reduction)
        check_whole("CTCLoss", 0, blank=blank)
        self.blank, self.zero_infinity = blank, zero_infinity

    def forward(
        self, log_probs: Tensor, targets: Tensor, input_lengths: Lengths | int, target_lengths: Lengths | int
    ) -> Tensor:
        alone = log_probs.dim() == 2
        if alone:
            log_probs, targets = log_probs[:, None], targets.reshape(1, -1)
        rows, inputs, labels = self._checked(log_probs, targets, input_lengths, target_lengths)
        loss, saved = ctc(log_probs, rows, inputs, labels, self.blank, self.reduction, self.zero_infinity)
        self.save(saved, alone)
        return loss[0] if alone and self.reduction == "none" else loss

    def backward(self, grad: Tensor | float = 1.0) -> InputGrad:
        saved, alone = self.saved()
        grad_log_probs = ctc_backward(grad, saved)
        return grad_log_probs[:, 0] if alone else grad_log_probs

    def _checked(
        self, log_probs: Tensor, targets: Tensor, input_lengths: Lengths | int, target_lengths: Lengths | int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns targets ``(B, S)`` and both lengths ``(B,)``."""
        if log_probs.dim() != 3 or not len(log_probs):
            raise ValueError(
                f"CTCLoss: expected log_probs (T, B, C) or (T, C), T at least 1, got {shape(log_probs)}"
            )
        check_floating(self, log_probs)
        times, batch, classes = log_probs.shape
        if self.blank >= classes:
            raise ValueError(f"CTCLoss: expected blank={self.blank} among {classes} classes, C of log_probs")
        self._whole("targets", targets)
        inputs = self._lengths("input_lengths", input_lengths, batch, times, targets)
        most = targets.shape[1] if targets.dim() == 2 else len(targets)
        labels = self._lengths("target_lengths", target_lengths, batch, most, targets)
        if targets.dim() == 1 and len(targets) == int(labels.sum()):
            rows = targets.new_full((batch, int(labels.amax()) if batch else 0), self.blank)
            for row, part in zip(rows, targets.split(labels.tolist()), strict=True):
                row[: len(part)] = part
        elif targets.dim() == 2 and len(targets) == batch:
            rows = targets
        else:
            raise ValueError(
                f"CTCLoss: expected targets ({batch}, S), or the labels of all {batch} sequences in "
                f"a row, {int(labels.sum())} by target_lengths, got {shape(targets)}"
            )
        counted = torch.arange(rows.shape[1], device=rows.device) < labels[:, None]
        rows = torch.where(counted, rows, self.blank).long()
        wrong = counted & ((rows < 0) | (rows >= classes) | (rows == self.blank))
        if bool(wrong.any()):
            raise IndexError(
                f"CTCLoss: expected labels from 0 to {classes - 1} other than the blank, {self.blank}, got "
                f"{int(rows[wrong][0])}"
            )
        return rows, inputs, labels

    def _lengths(self, name: str, given: Lengths | int, batch: int, most: int, like: Tensor) -> Tensor:
        lengths = torch.as_tensor(given, device=like.device).reshape(-1)
        lengths = self._whole(name, lengths) if len(lengths) else lengths.long()
        if len(lengths) != batch:
            raise ValueError(f"CTCLoss: expected {name} of {batch} sequences, got {len(lengths)}")
        if bool(((lengths < 0) | (lengths > most)).any()):
            raise ValueError(f"CTCLoss: expected {name} from 0 to {most}, got {lengths.tolist()}")
        return lengths

    def _whole(self, name: str, numbers: Tensor) -> Tensor:
        if numbers.is_floating_point() or numbers.dtype == torch.bool:
            raise TypeError(f"{self.label()}: expected {name} of an integer type, got {numbers.dtype}")
        return numbers.long()

    def extra_repr(self) -> str:
        parts = [f"blank={self.blank}", super().extra_repr()]
        parts += ["zero_infinity=True"] if self.zero_infinity else []
        return ", ".join(part for part in parts if part)
