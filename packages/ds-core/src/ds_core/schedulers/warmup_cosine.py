"""WarmupCosine: the schedule language models are trained with."""

from __future__ import annotations

import math

from ds_core.optimizers.optimizer import Optimizer
from ds_core.schedulers.scheduler import Scheduler


class WarmupCosine(Scheduler):
    """Rises on a line, falls on half a cosine, and stays at ``min_lr``; one step for each update.

    With w = warmup_steps and T = total_steps:

    t < w:       lr = base (t + 1) / (w + 1)
    w <= t < T:  lr = min_lr + (base - min_lr) (1 + cos(pi (t - w) / (T - w))) / 2
    t >= T:      lr = min_lr

    So no update is wasted on a rate of zero, update number w is the first at the full rate (all counted
    from 0), and ``total_steps`` updates end one short of ``min_lr``.

    Args:
        optimizer, last_epoch: see :class:`Scheduler`.
        warmup_steps: w, may be 0.
        total_steps: T, more than w.
        min_lr: the lowest rate.

    Raises:
        ValueError: if an argument is out of range.

    Source: Loshchilov and Hutter, SGDR (2017), equation 5; Goyal et al., Accurate, Large Minibatch SGD
    (2017), section 2.2, for the warm-up.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_steps: int,
        total_steps: int,
        min_lr: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self.require(warmup_steps >= 0, "warmup_steps >= 0", warmup_steps)
        self.require(
            total_steps > warmup_steps, f"total_steps above the {warmup_steps} of the warm-up", total_steps
        )
        self.require(min_lr >= 0, "min_lr >= 0", min_lr)
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.min_lr = min_lr
        super().__init__(optimizer, last_epoch)

    def next_lr(self, lr: float, base_lr: float, index: int) -> float:
        t, warmup = self.last_epoch, self.warmup_steps
        if t < warmup:
            return base_lr * (t + 1) / (warmup + 1)
        done = min(1.0, (t - warmup) / (self.total_steps - warmup))
        return self.min_lr + (base_lr - self.min_lr) * (1 + math.cos(math.pi * done)) / 2
