"""OneCycleLR: up to a high rate, then far down, once."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from ds_core.optimizers.optimizer import Optimizer
from ds_core.schedulers.scheduler import Scheduler, per_group


class OneCycleLR(Scheduler):
    """Raises the rate from max_lr / div_factor to max_lr, then lowers it far below where it began.

    With low = max_lr / div_factor, least = low / final_div_factor, and momentum moving the other way:

    two phases:    low -> max_lr until t = pct_start total_steps - 1;  -> least until t = total_steps - 1
    three phases:  low -> max_lr -> low, both equally long;            -> least until t = total_steps - 1

    One step for each batch.

    Args:
        optimizer, last_epoch: see :class:`Scheduler`.
        max_lr: the highest rate, or one for each parameter group.
        total_steps: length of the cycle; or give the next two.
        epochs, steps_per_epoch: their product is the length.
        pct_start: share of the cycle in which the rate rises, in [0, 1].
        anneal_strategy: "cos" or "linear": the shape of each phase.
        cycle_momentum: whether ``momentum``, or the first of ``betas``, moves too.
        base_momentum: the lowest momentum, or one for each parameter group.
        max_momentum: the highest, or one for each parameter group.
        div_factor, final_div_factor: see above.
        three_phase: see above.

    Raises:
        ValueError: if the length is not given or not positive, an argument is out of range, or there is no
            momentum to cycle; and by :meth:`step` beyond t = total_steps.

    Source: Smith and Topin, Super-Convergence (2018), section 3.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None and epochs is not None and steps_per_epoch is not None:
            total_steps = epochs * steps_per_epoch
        if total_steps is None or total_steps <= 0:
            raise ValueError(
                f"{self.label()}: expected total_steps > 0, or epochs and steps_per_epoch, got "
                f"total_steps={total_steps}, epochs={epochs}, steps_per_epoch={steps_per_epoch}"
            )
        self.require(0 <= pct_start <= 1, "pct_start in [0, 1]", pct_start)
        self.require(
            anneal_strategy in ("cos", "linear"), "anneal_strategy 'cos' or 'linear'", anneal_strategy
        )
        for name, factor in (("div_factor", div_factor), ("final_div_factor", final_div_factor)):
            self.require(factor > 0, f"{name} > 0", factor)
        self.total_steps = total_steps
        self.anneal_strategy = anneal_strategy
        self.cycle_momentum = cycle_momentum
        self.max_lr, self.base_momentum, self.max_momentum = max_lr, base_momentum, max_momentum
        self.div_factor, self.final_div_factor = div_factor, final_div_factor
        # The rate and the momentum move from corner to corner.
        top = pct_start * total_steps - 1
        self.corners = [Corner(0, "low", "max"), Corner(top, "max", "base")]
        if three_phase:
            self.corners.append(Corner(2 * top, "low", "max"))
        self.corners.append(Corner(total_steps - 1, "least", "max"))
        super().__init__(optimizer, last_epoch)

    def prepare(self, resumed: bool) -> None:
        self.check_per_group("max_lr", self.max_lr)
        self.check_per_group("base_momentum", self.base_momentum)
        self.check_per_group("max_momentum", self.max_momentum)
        if self.cycle_momentum:
            self.require_momentum()
        if not resumed:
            for index, group in enumerate(self.optimizer.param_groups):
                group["initial_lr"] = per_group(self.max_lr, index) / self.div_factor

    def next_lr(self, lr: float, base_lr: float, index: int) -> float:
        t = self.last_epoch
        self.require(t <= self.total_steps, f"at most total_steps = {self.total_steps} steps", t)
        last = len(self.corners) - 1
        right = next((i for i in range(1, last) if t <= self.corners[i].t), last)
        begin, end = self.corners[right - 1], self.corners[right]
        share = (t - begin.t) / (end.t - begin.t) if end.t > begin.t else 1.0
        if self.cycle_momentum:
            momenta = {
                "base": per_group(self.base_momentum, index),
                "max": per_group(self.max_momentum, index),
            }
            self.set_momentum(index, self._between(momenta[begin.momentum], momenta[end.momentum], share))
        highest = per_group(self.max_lr, index)
        low = highest / self.div_factor
        rates = {"low": low, "max": highest, "least": low / self.final_div_factor}
        return self._between(rates[begin.lr], rates[end.lr], share)

    def _between(self, begin: float, end: float, share: float) -> float:
        """Returns the value that far on the way."""
        if self.anneal_strategy == "cos":
            share = (1 - math.cos(math.pi * share)) / 2
        return begin + (end - begin) * share


class Corner(NamedTuple):
    """A point of the schedule: when, and which of the named rates and momenta."""

    t: float
    lr: str
    momentum: str
