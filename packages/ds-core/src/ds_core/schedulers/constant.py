"""ConstantLR: a lower rate for a while, most often as the first part of a sequence."""

from __future__ import annotations

from ds_core.optimizers.optimizer import Optimizer
from ds_core.schedulers.scheduler import Scheduler


class ConstantLR(Scheduler):
    """Multiplies the rate by ``factor`` for the first ``total_iters`` steps.

    lr = base factor while t < total_iters, base afterwards

    Args:
        optimizer, last_epoch: see :class:`Scheduler`.
        factor: in [0, 1].
        total_iters: number of steps at the lower rate.

    Raises:
        ValueError: if an argument is out of range.
    """

    chained = True

    def __init__(
        self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        self.require(0 <= factor <= 1, "factor in [0, 1]", factor)
        self.factor = factor
        self.require(total_iters >= 0, "total_iters >= 0", total_iters)
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def next_lr(self, lr: float, base_lr: float, index: int) -> float:
        if self.last_epoch == 0:
            return lr * self.factor
        if self.last_epoch != self.total_iters:
            return lr
        return lr / self.factor if self.factor else base_lr  # no factor undoes 0
