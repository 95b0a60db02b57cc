"""PolynomialLR: a power of what is left, down to zero."""

from __future__ import annotations

from ds_core.optimizers.optimizer import Optimizer
from ds_core.schedulers.scheduler import Scheduler


class PolynomialLR(Scheduler):
    """Lowers the rate to 0, as a power of the share of the steps that is left.

    lr = base (1 - min(t, total_iters) / total_iters)^power

    Args:
        optimizer, last_epoch: see :class:`Scheduler`.
        total_iters: number of steps to 0.
        power: 1 for a straight line; above 1 the rate falls at first, below 1 at last.

    Raises:
        ValueError: if an argument is negative.

    Source: Liu, Rabinovich, Berg, ParseNet (2015), the "poly" policy.
    """

    chained = True

    def __init__(
        self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1
    ) -> None:
        self.require(power >= 0, "power >= 0", power)
        self.require(total_iters >= 0, "total_iters >= 0", total_iters)
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def next_lr(self, lr: float, base_lr: float, index: int) -> float:
        t = self.last_epoch
        if t == 0 or t > self.total_iters:
            return lr
        left, left_before = self.total_iters - t, self.total_iters - (t - 1)
        factor: float = (left / left_before) ** self.power
        return lr * factor
