"""Log loss and perplexity: how much probability the truth was given."""

from __future__ import annotations

import math
from typing import Unpack

import torch
from torch import Tensor

from ds_core.functional import log_softmax
from ds_core.metrics.metric import ClassMetric, ClassOptions

# How far from 1 the sum of given probabilities may be, in units of the type's rounding error.
_ROUNDINGS = 1e3


def log_probabilities(metric: ClassMetric, scores: Tensor, logits: bool) -> Tensor:
    """Returns log p ``(n, C)`` of logits, or of probabilities cut off at the ends of their range.

    A probability of exactly 0 or 1 is moved inwards by the type's rounding error: one impossible truth would
    otherwise make the whole loss infinite.

    Raises:
        ValueError: if logits are infinite, or probabilities are negative or do not sum to 1.
    """
    scores = scores if scores.dtype == torch.float64 else scores.float()
    if logits:
        logs, _ = log_softmax(scores, 1)
        if logs.isnan().any():
            raise ValueError(f"{metric.label()}: expected finite logits, got an infinite one")
        return logs
    tiny = torch.finfo(scores.dtype).eps
    if scores.numel() and ((scores < 0).any() or ((scores.sum(1) - 1).abs() > _ROUNDINGS * tiny).any()):
        raise ValueError(
            f"{metric.label()}: expected probabilities that sum to 1 over the classes; "
            "pass logits=True for logits"
        )
    return scores.clamp(tiny, 1 - tiny).log()


class LogLoss(ClassMetric):
    """Averages the surprise at the truth, the cross-entropy in natural units.

    log loss = -mean over entries of log p(target)

    Args:
        logits: whether predictions are logits (a model's output) or probabilities; a probability of 0 or 1
            is moved inwards by the type's rounding error.
        options: ``dim``, ``ignore_index``, see :class:`ClassMetric`.

    Shape:
        prediction ``(N, C, ...)`` with target ``(N, ...)``; or both ``(N, ...)``, one score of class 1.

    Raises:
        ValueError: if logits are infinite, or probabilities are negative or do not sum to 1; and as
            :class:`ClassMetric`.
        TypeError: if predictions are class indices.
    """

    name = "log_loss"

    def __init__(self, *, logits: bool = True, **options: Unpack[ClassOptions]) -> None:
        self.logits = logits
        super().__init__(**options)

    def reset(self) -> None:
        super().reset()
        self.total = 0.0

    def _add(self, prediction: Tensor, target: Tensor) -> int:
        prediction, target = self._entries(prediction, target)
        if not prediction.is_floating_point():
            raise TypeError(f"{self.label()}: expected scores, got {prediction.dtype} class indices")
        if prediction.dim() == 1:
            self._check_range(target, 2, "target")
            rest = torch.zeros_like(prediction) if self.logits else 1 - prediction
            prediction = torch.stack([rest, prediction], 1)  # (n, 2)
        logs = log_probabilities(self, prediction, self.logits)
        self.total -= float(logs.gather(1, target[:, None]).double().sum())
        return target.numel()

    def _result(self) -> float:
        return self.total / self.count

    def extra_repr(self) -> str:
        return "" if self.logits else "logits=False"


class Perplexity(LogLoss):
    """Says among how many equally likely tokens a model hesitates, on average.

    perplexity = exp(log loss), the inverse of the geometric mean of p(target); infinite beyond the numbers

    Args:
        logits, options: see :class:`LogLoss`; ``ignore_index`` starts as -100, as in ``CrossEntropyLoss``.

    Raises:
        as :class:`LogLoss`.

    Source: Jelinek, Mercer, Bahl, Baker, Perplexity (1977).
    """

    name = "perplexity"

    def __init__(self, *, logits: bool = True, **options: Unpack[ClassOptions]) -> None:
        options.setdefault("ignore_index", -100)
        super().__init__(logits=logits, **options)

    def _result(self) -> float:
        loss = super()._result()
        return math.exp(loss) if loss < 709 else math.inf  # 709: where exp leaves the numbers
