"""CyclicLR: up and down between two rates, again and again."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from ds_core.optimizers.optimizer import Optimizer
from ds_core.schedulers.scheduler import Scheduler, per_group


class CyclicLR(Scheduler):
    """Moves the rate in straight lines from base_lr up to max_lr and down again, with momentum the other way.

    lr = base_lr + (max_lr - base_lr) a s,   momentum = max_momentum - (max_momentum - base_momentum) a s

    a rises from 0 to 1 in ``step_size_up`` steps and falls back in ``step_size_down``; s is the scale of the
    cycle c = 1, 2, ... or of the step t:

    "triangular":  s = 1;    "triangular2":  s = 1 / 2^(c - 1);    "exp_range":  s = gamma^t

    One step for each batch.

    Args:
        optimizer, last_epoch: see :class:`Scheduler`.
        base_lr: the lowest rate, or one for each parameter group; also the first.
        max_lr: the highest rate, or one for each parameter group.
        step_size_up: steps from the lowest to the highest.
        step_size_down: steps back; None for as many.
        mode: "triangular", "triangular2" or "exp_range"; has no effect beside ``scale_fn``.
        gamma: see above.
        scale_fn: gives s in place of the mode.
        scale_mode: "cycle" or "iterations": whether ``scale_fn`` gets c or t.
        cycle_momentum: whether ``momentum``, or the first of ``betas``, moves too.
        base_momentum: the lowest momentum, or one for each parameter group.
        max_momentum: the highest, or one for each parameter group; also the first.

    Raises:
        ValueError: if an argument is out of range, or there is no momentum to cycle.

    Source: Smith, Cyclical Learning Rates for Training Neural Networks (2017), section 3.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: Literal["cycle", "iterations"] = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        down = step_size_up if step_size_down is None else step_size_down
        modes = ("triangular", "triangular2", "exp_range")
        self.require(step_size_up > 0, "step_size_up > 0", step_size_up)
        self.require(down >= 0, "step_size_down >= 0", down)
        self.require(mode in modes or scale_fn is not None, f"a mode of {', '.join(modes)}", mode)
        self.require(scale_mode in ("cycle", "iterations"), "scale_mode 'cycle' or 'iterations'", scale_mode)
        self.base_lr, self.max_lr = base_lr, max_lr
        self.up, self.down = step_size_up, down
        self.mode, self.gamma = mode, gamma
        self.scale_fn, self.scale_mode = scale_fn, scale_mode
        self.cycle_momentum = cycle_momentum
        self.base_momentum, self.max_momentum = base_momentum, max_momentum
        super().__init__(optimizer, last_epoch)
        self.base_lrs = [float(per_group(base_lr, index)) for index in range(len(optimizer.param_groups))]

    def prepare(self, resumed: bool) -> None:
        for name in ("base_lr", "max_lr", "base_momentum", "max_momentum"):
            self.check_per_group(name, getattr(self, name))
        if self.cycle_momentum:
            self.require_momentum()
        if not resumed:
            for index, group in enumerate(self.optimizer.param_groups):
                group["lr"] = per_group(self.base_lr, index)

    def next_lr(self, lr: float, base_lr: float, index: int) -> float:
        t = self.last_epoch
        cycle, place = 1 + math.floor(t / (self.up + self.down)), t % (self.up + self.down)
        height = place / self.up if place <= self.up else (self.up + self.down - place) / self.down
        height *= self._scale(cycle, t)
        if self.cycle_momentum:
            highest, lowest = per_group(self.max_momentum, index), per_group(self.base_momentum, index)
            self.set_momentum(index, highest - (highest - lowest) * height)
        lowest_lr, highest_lr = float(per_group(self.base_lr, index)), float(per_group(self.max_lr, index))
        return lowest_lr + (highest_lr - lowest_lr) * height

    def _scale(self, cycle: int, t: int) -> float:
        """Returns s."""
        if self.scale_fn is not None:
            return self.scale_fn(cycle if self.scale_mode == "cycle" else t)
        if self.mode == "triangular":
            return 1.0
        return 0.5 ** (cycle - 1) if self.mode == "triangular2" else self.gamma**t
