"""LinearLR: a straight line, up (warm-up) or down."""

from __future__ import annotations

from ds_core.optimizers.optimizer import Optimizer
from ds_core.schedulers.scheduler import Scheduler


class LinearLR(Scheduler):
    """Moves a factor on the rate from ``start_factor`` to ``end_factor``, and leaves it there.

    lr = base (start_factor + (end_factor - start_factor) min(t, total_iters) / total_iters)

    Args:
        optimizer, last_epoch: see :class:`Scheduler`.
        start_factor: the factor at t = 0, in (0, 1].
        end_factor: the factor from t = total_iters on, in [0, 1].
        total_iters: number of steps between the two.

    Raises:
        ValueError: if an argument is out of range.
    """

    chained = True

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        self.require(0 < start_factor <= 1, "start_factor in (0, 1]", start_factor)
        self.require(0 <= end_factor <= 1, "end_factor in [0, 1]", end_factor)
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.require(total_iters >= 0, "total_iters >= 0", total_iters)
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def next_lr(self, lr: float, base_lr: float, index: int) -> float:
        t = self.last_epoch
        if t == 0:
            return lr * self.start_factor
        return lr if t > self.total_iters else lr * self._factor(t) / self._factor(t - 1)

    def _factor(self, t: int) -> float:
        left = self.total_iters - t  # a mean of two factors: rounding leads to none below 0
        return (self.start_factor * left + self.end_factor * t) / self.total_iters
