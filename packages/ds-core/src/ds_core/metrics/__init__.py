"""Metrics: taken over a stream of batches, or of one batch alone; by object or by name."""

from __future__ import annotations

from collections.abc import Callable

from ds_core.checks import did_you_mean
from ds_core.metrics.accuracy import Accuracy
from ds_core.metrics.confusion_matrix import ConfusionMatrix
from ds_core.metrics.log_loss import LogLoss, Perplexity
from ds_core.metrics.metric import Metric
from ds_core.metrics.precision_recall import FBeta, Precision, Recall
from ds_core.metrics.ranking import ROCAUC, AveragePrecision
from ds_core.metrics.regression import MAE, MSE, R2, RMSE

__all__ = [
    "MAE",
    "METRICS",
    "MSE",
    "R2",
    "RMSE",
    "ROCAUC",
    "Accuracy",
    "AveragePrecision",
    "ConfusionMatrix",
    "FBeta",
    "LogLoss",
    "Metric",
    "Perplexity",
    "Precision",
    "Recall",
    "as_metric",
]

METRICS: dict[str, Callable[[], Metric]] = {
    "accuracy": Accuracy,
    "top5_accuracy": lambda: Accuracy(k=5),
    "precision": Precision,
    "recall": Recall,
    "f1": FBeta,
    "confusion_matrix": ConfusionMatrix,
    "roc_auc": ROCAUC,
    "average_precision": AveragePrecision,
    "log_loss": LogLoss,
    "perplexity": Perplexity,
    "r2": R2,
    "mse": MSE,
    "rmse": RMSE,
    "mae": MAE,
}


def as_metric(metric: str | Metric) -> Metric:
    """Returns a new metric for a name of METRICS, and a metric as it is.

    Raises:
        ValueError: if the name is unknown; lists those known and suggests the closest.
    """
    if isinstance(metric, Metric):
        return metric
    if metric not in METRICS:
        known = ", ".join(METRICS)
        raise ValueError(f"metric: expected one of {known}, got {metric!r}{did_you_mean(metric, METRICS)}")
    return METRICS[metric]()
