"""ExponentialLR: the same factor at every step."""

from __future__ import annotations

from ds_core.optimizers.optimizer import Optimizer
from ds_core.schedulers.scheduler import Scheduler


class ExponentialLR(Scheduler):
    """Multiplies the rate by ``gamma`` at every step.

    lr = base gamma^t

    Args:
        optimizer, last_epoch: see :class:`Scheduler`.
        gamma: factor of each step.
    """

    chained = True

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def next_lr(self, lr: float, base_lr: float, index: int) -> float:
        return lr * self.gamma if self.last_epoch > 0 else lr
