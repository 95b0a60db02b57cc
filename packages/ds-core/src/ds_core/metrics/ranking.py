"""ROC-AUC and average precision: how well scores put the positives first, at every threshold at once.

Both keep all scores until ``compute``: what a score is worth depends on all the others. Memory is that of
the predictions, O(N C).
"""

from __future__ import annotations

from typing import Literal, Unpack

import torch
from torch import Tensor

from ds_core.metrics.log_loss import log_probabilities
from ds_core.metrics.metric import ClassMetric, ClassOptions


def hits_and_false_alarms(scores: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """Counts, for each distinct score from high to low, positives and negatives scored at least so high.

    Equal scores enter together: no threshold can tell them apart.

    Shape:
        scores ``(N,)``, positive ``(N,)`` boolean -> two ``(distinct scores,)`` float64.
    """
    scores, order = scores.sort(descending=True)
    hits = positive[order].double().cumsum(0)
    false_alarms = (~positive[order]).double().cumsum(0)
    last_of_its_score = torch.cat([scores[1:] != scores[:-1], scores.new_ones(1, dtype=torch.bool)])
    return hits[last_of_its_score], false_alarms[last_of_its_score]


class RankingMetric(ClassMetric):
    """Base of the two: collects scores, then measures class 1, or each class against the rest.

    Args:
        average: "macro" for the mean over classes, None for each class; without meaning for two classes given
            by one score.
        logits: whether scores of C classes are logits, to be turned into probabilities first (which changes
            the order of the entries); probabilities are taken as they are.
        options: ``dim``, ``ignore_index``, see :class:`ClassMetric`.
    """

    def __init__(
        self,
        average: Literal["macro"] | None = "macro",
        *,
        logits: bool = True,
        **options: Unpack[ClassOptions],
    ) -> None:
        if average not in ("macro", None):
            raise ValueError(f"{type(self).__name__}: expected average 'macro' or None, got {average!r}")
        self.average = average
        self.logits = logits
        super().__init__(**options)

    def reset(self) -> None:
        super().reset()
        self._scores: list[Tensor] = []
        self._targets: list[Tensor] = []

    def _add(self, prediction: Tensor, target: Tensor) -> int:
        prediction, target = self._entries(prediction, target)
        if prediction.dim() == 1:
            self._check_range(target, 2, "target")
        elif self.logits:  # logarithms rank as probabilities do, and small ones stay apart
            prediction = log_probabilities(self, prediction, logits=True)
        if self._scores and prediction.shape[1:] != self._scores[0].shape[1:]:
            raise ValueError(f"{self.label()}: expected every batch to have as many classes as the first one")
        self._scores.append(prediction.cpu())
        self._targets.append(target.cpu())
        return target.numel()

    def _result(self) -> float | Tensor:
        scores, targets = torch.cat(self._scores), torch.cat(self._targets)
        if scores.dim() == 1:
            return self._measure(*hits_and_false_alarms(scores, targets == 1))
        of_each = torch.tensor(
            [
                self._measure(*hits_and_false_alarms(scores[:, label], targets == label))
                for label in range(scores.shape[1])
            ],
            dtype=torch.float64,
        )
        return of_each if self.average is None else float(of_each.mean())

    def _measure(self, hits: Tensor, false_alarms: Tensor) -> float:
        raise NotImplementedError

    def extra_repr(self) -> str:
        shown = [] if self.average == "macro" else [f"average={self.average!r}"]
        return ", ".join(shown + ([] if self.logits else ["logits=False"]))


class ROCAUC(RankingMetric):
    """Measures how probable it is that a positive scores higher than a negative; a tie is half a success.

    AUC = area under hits / P over false alarms / N = P(s_positive > s_negative) + P(equal) / 2

    Two classes by one score; more by scores of each, one class against the rest. A class without entries, or
    with all of them, has no AUC: NaN, and so is the mean over classes.

    Args:
        average, logits, options: see :class:`RankingMetric`.

    Shape:
        prediction ``(N,)`` with target 0 or 1, or ``(N, C, ...)`` with target ``(N, ...)``; result: a number,
        or ``(C,)`` float64 for ``average=None``.

    Raises:
        ValueError: if the average is another word, or logits are infinite; and as :class:`ClassMetric`.

    Source: Hanley and McNeil, The Meaning and Use of the Area under a ROC Curve (1982).
    """

    name = "roc_auc"

    def _measure(self, hits: Tensor, false_alarms: Tensor) -> float:
        zero = hits.new_zeros(1)
        hit_before, false_before = torch.cat([zero, hits[:-1]]), torch.cat([zero, false_alarms[:-1]])
        area = ((hits + hit_before) / 2 * (false_alarms - false_before)).sum()  # one trapezium a step
        return float(area / (hits[-1] * false_alarms[-1]))  # 0 / 0 is NaN


class AveragePrecision(RankingMetric):
    """Averages precision over the positives, each at the threshold that just finds it.

    AP = sum over thresholds of (recall_n - recall_{n-1}) precision_n

    Steps are not joined by straight lines, which would flatter. A class without positives scores 0.

    Args:
        average, logits, options: see :class:`RankingMetric`.

    Shape:
        as :class:`ROCAUC`.

    Raises:
        ValueError: as :class:`ROCAUC`.

    Source: Manning, Raghavan, Schütze, Introduction to Information Retrieval (2008), section 8.4.
    """

    name = "average_precision"

    def _measure(self, hits: Tensor, false_alarms: Tensor) -> float:
        if not hits[-1]:
            return 0.0
        found = hits - torch.cat([hits.new_zeros(1), hits[:-1]])
        return float((found * hits / (hits + false_alarms)).sum() / hits[-1])
