"""SequentialLR: one schedule after another."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

from ds_core.optimizers.optimizer import Optimizer
from ds_core.schedulers.reduce_on_plateau import ReduceLROnPlateau
from ds_core.schedulers.scheduler import Scheduler


class SequentialLR(Scheduler):
    """Hands over from one schedule to the next at each milestone; every schedule starts at its own t = 0.

    Args:
        optimizer, last_epoch: see :class:`Scheduler`.
        schedulers: in their order, all of this optimizer.
        milestones: the t at which the second, third, ... schedule begins, in their order, one fewer than
            schedules.

    Raises:
        ValueError: if the milestones do not fit, or a schedule is of another optimizer or needs a metric.

    Example:
        >>> warmup, decay = LinearLR(optimizer, 0.1, total_iters=5), CosineAnnealingLR(optimizer, 95)
        >>> scheduler = SequentialLR(optimizer, [warmup, decay], milestones=[5])
    """

    progress = ("last_epoch", "_last_lr")

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: list[Scheduler],
        milestones: list[int],
        last_epoch: int = -1,
    ) -> None:
        self.require(len(schedulers) > 0, "at least one scheduler", schedulers)
        self.require(
            len(milestones) == len(schedulers) - 1,
            f"{len(schedulers) - 1} milestones for {len(schedulers)} schedulers",
            milestones,
        )
        self.require(milestones == sorted(milestones), "milestones in their order", milestones)
        for scheduler in schedulers:
            if scheduler.optimizer is not optimizer or isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(
                    f"{self.label()}: expected schedulers of its own optimizer that need no metric, "
                    f"got {scheduler.label()}"
                )
        self.schedulers = schedulers
        self.milestones = milestones
        super().__init__(optimizer, last_epoch)

    def _write(self, keep: bool = False) -> None:
        """Starts the schedule whose turn it is, or lets it go on."""
        turn = bisect_right(self.milestones, self.last_epoch)
        scheduler = self.schedulers[turn]
        begins = self.last_epoch == (self.milestones[turn - 1] if turn else 0)
        if begins:
            scheduler.restart()
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        schedulers = [scheduler.state_dict() for scheduler in self.schedulers]
        return super().state_dict() | {"_schedulers": schedulers}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for scheduler, state in zip(self.schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)
