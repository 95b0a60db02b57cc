"""CosineAnnealingLR: down along half a cosine."""

from __future__ import annotations

import math

from ds_core.optimizers.optimizer import Optimizer
from ds_core.schedulers.scheduler import Scheduler


class CosineAnnealingLR(Scheduler):
    """Follows a cosine down to ``eta_min`` in ``T_max`` steps; then up again, and so on.

    lr = eta_min + (base - eta_min) (1 + cos(pi t / T_max)) / 2

    The distance from eta_min is multiplied by the ratio of two neighbouring values of 1 + cos, so that
    another schedule may act on the same optimizer; from the bottom, where that is 0 / 0, it starts anew.

    Args:
        optimizer, last_epoch: see :class:`Scheduler`.
        T_max: steps of half a period.
        eta_min: the lowest rate.

    Raises:
        ValueError: if ``T_max`` is not positive.

    Source: Loshchilov and Hutter, SGDR (2017), equation 5.
    """

    chained = True

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.require(T_max > 0, "T_max > 0", T_max)
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def next_lr(self, lr: float, base_lr: float, index: int) -> float:
        t = self.last_epoch
        if t == 0:
            return lr
        if (t - 1) % (2 * self.T_max) == self.T_max:  # the step before was the bottom
            return lr + (base_lr - self.eta_min) * self._height(1 - self.T_max)
        return self.eta_min + (lr - self.eta_min) * self._height(t) / self._height(t - 1)

    def _height(self, t: int) -> float:
        """Returns the cosine's height at t, from 1 at the top to 0 at the bottom."""
        return (1 + math.cos(math.pi * t / self.T_max)) / 2
