"""MultiStepLR: a staircase with steps where one wants them."""

from __future__ import annotations

from collections.abc import Iterable

from ds_core.optimizers.optimizer import Optimizer
from ds_core.schedulers.scheduler import Scheduler


class MultiStepLR(Scheduler):
    """Multiplies the rate by ``gamma`` at each milestone.

    lr = base gamma^(number of milestones <= t)

    Args:
        optimizer, last_epoch: see :class:`Scheduler`.
        milestones: steps at which the rate drops; one listed twice drops it twice.
        gamma: factor of each drop.

    Raises:
        ValueError: if a milestone lies between two steps, where the rate would never drop.
    """

    chained = True

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones = sorted(milestones)
        whole = all(float(milestone).is_integer() for milestone in self.milestones)
        self.require(whole, "milestones as whole numbers", self.milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def next_lr(self, lr: float, base_lr: float, index: int) -> float:
        return float(lr * self.gamma ** self.milestones.count(self.last_epoch))
