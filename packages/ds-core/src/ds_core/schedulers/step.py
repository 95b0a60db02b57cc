"""StepLR: a staircase with even steps."""

from __future__ import annotations

from ds_core.optimizers.optimizer import Optimizer
from ds_core.schedulers.scheduler import Scheduler


class StepLR(Scheduler):
    """Multiplies the rate by ``gamma`` every ``step_size`` steps.

    lr = base gamma^floor(t / step_size)

    Args:
        optimizer, last_epoch: see :class:`Scheduler`.
        step_size: steps between two drops.
        gamma: factor of each drop.

    Raises:
        ValueError: if ``step_size`` is not positive.
    """

    chained = True

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.require(step_size > 0, "step_size > 0", step_size)
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def next_lr(self, lr: float, base_lr: float, index: int) -> float:
        drops = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return lr * self.gamma if drops else lr
