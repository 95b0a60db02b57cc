"""ReduceLROnPlateau: lower the rate when the validation loss stops falling."""

from __future__ import annotations

import math
from typing import Literal, SupportsFloat

from ds_core.optimizers.optimizer import Optimizer
from ds_core.schedulers.scheduler import Scheduler, per_group


class ReduceLROnPlateau(Scheduler):
    """Multiplies the rate by ``factor`` after more than ``patience`` steps without a better metric.

    better, mode "min":  metric < best (1 - threshold)   or, threshold_mode "abs":  metric < best - threshold
    better, mode "max":  metric > best (1 + threshold)   or                         metric > best + threshold

    Args:
        optimizer: see :class:`Scheduler`.
        mode: whether a lower ("min") or a higher ("max") metric is better.
        factor: of each reduction, below 1.
        patience: steps without a better metric that are tolerated.
        threshold, threshold_mode: by how much better counts, see above.
        cooldown: steps after a reduction in which nothing is counted.
        min_lr: the lowest rate, or one for each parameter group.
        eps: reductions by less are not made.

    Raises:
        ValueError: if ``factor`` is 1 or more, ``patience`` negative, or a mode another word.
    """

    progress = ("last_epoch", "_last_lr", "best", "num_bad_epochs", "cooldown_counter")

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        self.require(mode in ("min", "max"), "mode 'min' or 'max'", mode)
        self.require(factor < 1, "factor < 1", factor)
        self.require(threshold_mode in ("rel", "abs"), "threshold_mode 'rel' or 'abs'", threshold_mode)
        self.require(patience >= 0, "patience >= 0", patience)
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.min_lr = min_lr
        self.eps = eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = 0
        self.cooldown_counter = 0
        super().__init__(optimizer)

    def prepare(self, resumed: bool) -> None:
        self.check_per_group("min_lr", self.min_lr)

    def step(self, metrics: SupportsFloat) -> None:  # type: ignore[override]  # it goes by the metric
        """Takes the metric of this step, and lowers the rates if it has stopped improving."""
        metric = float(metrics)
        if self._better(metric):
            self.best = metric
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        super().step()
        if self.num_bad_epochs > self.patience:
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0

    def next_lr(self, lr: float, base_lr: float, index: int) -> float:
        if self.num_bad_epochs <= self.patience:
            return lr
        lower = max(lr * self.factor, per_group(self.min_lr, index))
        return lower if lr - lower > self.eps else lr

    def _better(self, metric: float) -> bool:
        sign = -1 if self.mode == "min" else 1
        if self.threshold_mode == "rel":
            return sign * metric > sign * self.best * (1 + sign * self.threshold)
        return sign * metric > sign * self.best + self.threshold
