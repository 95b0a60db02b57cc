"""LambdaLR: any schedule, as a function of the step."""

from __future__ import annotations

from collections.abc import Callable

from ds_core.optimizers.optimizer import Optimizer
from ds_core.schedulers.scheduler import Scheduler, per_group


class LambdaLR(Scheduler):
    """Multiplies the initial rate by a function of t.

    lr = base lr_lambda(t)

    Args:
        optimizer, last_epoch: see :class:`Scheduler`.
        lr_lambda: the function, or one for each parameter group; not part of ``state_dict``.

    Raises:
        ValueError: if there are not as many functions as groups.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self.lr_lambda = lr_lambda
        super().__init__(optimizer, last_epoch)

    def prepare(self, resumed: bool) -> None:
        self.check_per_group("lr_lambda", self.lr_lambda)

    def next_lr(self, lr: float, base_lr: float, index: int) -> float:
        return float(base_lr * per_group(self.lr_lambda, index)(self.last_epoch))
