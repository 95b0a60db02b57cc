"""CosineAnnealingWarmRestarts: down along half a cosine, then back to the top at once."""

from __future__ import annotations

import math

from ds_core.optimizers.optimizer import Optimizer
from ds_core.schedulers.scheduler import Scheduler


class CosineAnnealingWarmRestarts(Scheduler):
    """Falls from the initial rate to ``eta_min`` along a cosine, jumps back, and falls again, slower.

    lr = eta_min + (base - eta_min) (1 + cos(pi T_cur / T_i)) / 2

    T_cur counts steps since the last jump; T_i, the length of a fall, starts as T_0 and grows by the factor
    T_mult at every jump.

    Args:
        optimizer, last_epoch: see :class:`Scheduler`.
        T_0: steps of the first fall.
        T_mult: whole factor >= 1.
        eta_min: the lowest rate.

    Raises:
        ValueError: if ``T_0`` or ``T_mult`` is not a positive whole number.

    Source: Loshchilov and Hutter, SGDR (2017), section 3.
    """

    progress = (*Scheduler.progress, "T_cur", "T_i")

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.require(isinstance(T_0, int) and T_0 > 0, "T_0 as a whole number > 0", T_0)
        self.require(isinstance(T_mult, int) and T_mult > 0, "T_mult as a whole number > 0", T_mult)
        self.T_0 = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self._place(last_epoch + 1)
        super().__init__(optimizer, last_epoch)

    def next_lr(self, lr: float, base_lr: float, index: int) -> float:
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return self.eta_min + (base_lr - self.eta_min) * height

    def step(self, epoch: float | None = None) -> None:
        """Goes on to the next t, or to a given one, which may be a fraction: ``epoch + batch / batches``.

        Raises:
            ValueError: if ``epoch`` is negative.
        """
        if epoch is not None:
            self.require(epoch >= 0, "epoch >= 0", epoch)
            self.last_epoch = math.floor(epoch)
            self._place(epoch)
            self._write()
            return
        self.T_cur += 1
        if self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult
        super().step()

    def restart(self) -> None:
        self._place(0)
        super().restart()

    def _place(self, t: float) -> None:
        """Finds the fall that t lies in."""
        self.T_cur, self.T_i = t, self.T_0
        if self.T_mult == 1:
            self.T_cur = t % self.T_0
        while self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult
