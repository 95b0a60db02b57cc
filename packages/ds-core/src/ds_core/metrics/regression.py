"""Metrics of regression: mean errors, and the share of the variance that is explained."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ds_core.checks import shape
from ds_core.metrics.metric import Metric


class RegressionMetric(Metric):
    """Base of these metrics: brings predictions and targets into the form ``(n, outputs)``, in float64.

    Several outputs are measured one by one, and the result is the mean over them.

    Shape:
        prediction and target: the same, ``(N, ...)``, each place of ``...`` an output.

    Raises:
        ValueError: if shapes differ, or change from batch to batch.
        TypeError: if the prediction is not floating point.
    """

    def reset(self) -> None:
        super().reset()
        self._outputs: int | None = None

    def _rows(self, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if prediction.shape != target.shape:
            raise ValueError(
                f"{self.label()}: expected prediction and target of one shape, "
                f"got {shape(prediction)} and {shape(target)}"
            )
        if not prediction.is_floating_point():
            raise TypeError(f"{self.label()}: expected floating point predictions, got {prediction.dtype}")
        outputs = math.prod(prediction.shape[1:])
        if self._outputs not in (None, outputs):
            raise ValueError(f"{self.label()}: expected {self._outputs} outputs as before, got {outputs}")
        self._outputs = outputs
        return prediction.cpu().double().reshape(-1, outputs), target.cpu().double().reshape(-1, outputs)


class _MeanError(RegressionMetric):
    """Base of the metrics that average some function of the difference."""

    def reset(self) -> None:
        super().reset()
        self.total = torch.zeros((), dtype=torch.float64)  # (outputs,) once there are any

    def _add(self, prediction: Tensor, target: Tensor) -> int:
        prediction, target = self._rows(prediction, target)
        self.total = self.total + self._error(prediction - target).sum(0)
        return len(target)

    def _error(self, difference: Tensor) -> Tensor:
        return difference * difference

    def _result(self) -> float:
        return float((self.total / self.count).mean())


class MSE(_MeanError):
    """Averages squared errors: mean of (prediction - target)^2."""

    name = "mse"


class RMSE(_MeanError):
    """Takes the root of the mean squared error, in the target's unit: of each output, then their mean."""

    name = "rmse"

    def _result(self) -> float:
        return float((self.total / self.count).sqrt().mean())


class MAE(_MeanError):
    """Averages absolute errors: mean of |prediction - target|."""

    name = "mae"

    def _error(self, difference: Tensor) -> Tensor:
        return difference.abs()


class R2(RegressionMetric):
    """Says which share of the target's variance a prediction explains.

    R2 = 1 - sum (target - prediction)^2 / sum (target - mean target)^2

    1 is perfect, 0 is no better than always predicting the mean, below 0 is worse. A constant target gives 1
    if it is predicted exactly and 0 otherwise; a single entry has no variance and gives NaN.

    Streams in three numbers an output: of t' = target - first target, the sum of t' and of t'^2, so that
    sum (target - mean)^2 = sum t'^2 - (sum t')^2 / n; shifting keeps this difference from cancelling.

    Shape:
        as :class:`RegressionMetric`.
    """

    name = "r2"

    def reset(self) -> None:
        super().reset()
        self._first: Tensor | None = None  # (outputs,)
        self._residual = self._sum = self._squares = torch.zeros((), dtype=torch.float64)

    def _add(self, prediction: Tensor, target: Tensor) -> int:
        prediction, target = self._rows(prediction, target)
        if not len(target):
            return 0
        if self._first is None:
            self._first = target[0].clone()
        residual, shifted = target - prediction, target - self._first
        self._residual = self._residual + (residual * residual).sum(0)
        self._sum = self._sum + shifted.sum(0)
        self._squares = self._squares + (shifted * shifted).sum(0)
        return len(target)

    def _result(self) -> float:
        if self.count < 2:
            return math.nan
        variation = self._squares - self._sum * self._sum / self.count
        explained = 1 - self._residual / variation
        constant = torch.where(self._residual == 0, 1.0, 0.0)
        return float(torch.where(variation == 0, constant, explained).mean())
