"""InverseSquareRootLR: the schedule the Transformer was first trained with."""

from __future__ import annotations

import math

from ds_core.optimizers.optimizer import Optimizer
from ds_core.schedulers.scheduler import Scheduler


class InverseSquareRootLR(Scheduler):
    """Rises on a line, then falls with the square root of the number of updates; one step for each.

    With s = t + 1 (the first update is number 1), w = warmup_steps and d = d_model:

    lr = factor / sqrt(d) min(1 / sqrt(s), s / w^(3/2))

    The factor is the rate the optimizer came with: ``lr=1.0`` gives the paper's numbers. Both branches meet
    at s = w, at the highest rate, factor / sqrt(d w).

    Args:
        optimizer, last_epoch: see :class:`Scheduler`.
        d_model: d, the width of the model: the wider, the smaller the steps.
        warmup_steps: w; 4,000 in the paper.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> optimizer = Adam(model.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9)
        >>> scheduler = InverseSquareRootLR(optimizer, d_model=512)

    Source: Vaswani et al., Attention Is All You Need (2017), equation 3.
    """

    def __init__(
        self, optimizer: Optimizer, d_model: int, warmup_steps: int = 4000, last_epoch: int = -1
    ) -> None:
        self.require(d_model >= 1, "d_model >= 1", d_model)
        self.require(warmup_steps >= 1, "warmup_steps >= 1", warmup_steps)
        self.d_model = d_model
        self.warmup_steps = warmup_steps
        super().__init__(optimizer, last_epoch)

    def next_lr(self, lr: float, base_lr: float, index: int) -> float:
        step = self.last_epoch + 1
        return base_lr / math.sqrt(self.d_model) * min(1 / math.sqrt(step), step / self.warmup_steps**1.5)
