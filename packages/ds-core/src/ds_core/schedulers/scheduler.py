"""Scheduler: what all learning-rate schedules share. Each is one short ``next_lr`` in a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ds_core.checks import checked_constructor
from ds_core.optimizers.optimizer import Optimizer


class Scheduler:
    """Base of the schedulers: rewrites ``lr`` in every group of an optimizer.

    With t = ``last_epoch``: the constructor sets the rate of t = 0, every :meth:`step` that of the next t.
    What a step counts is the caller's choice, an epoch or a batch; it follows ``optimizer.step()``, so the
    first update is made with the rate of t = 0.

    Args:
        optimizer: whose groups' ``lr`` at this moment (kept as ``initial_lr``) the schedule starts from.
        last_epoch: -1 to begin; t of the last finished step to go on with a loaded optimizer.

    Raises:
        TypeError: if ``optimizer`` is not an :class:`Optimizer`.
        ValueError: if ``last_epoch`` is given and the optimizer has no ``initial_lr`` to go on from.
    """

    # Whether next_lr builds on the current rate (and so leaves room for a second schedule on the same
    # optimizer) or computes it from the initial one.
    chained = False
    progress: tuple[str, ...] = ("last_epoch", "base_lrs", "_last_lr")  # what state_dict holds

    def __init_subclass__(cls, **options: Any) -> None:
        """Makes a schedule's constructor check its arguments."""
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = checked_constructor(cls.__init__)  # type: ignore[method-assign]

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"{self.label()}: expected an Optimizer of ds_core, got {type(optimizer).__name__}"
            )
        self.optimizer = optimizer
        self.prepare(resumed=last_epoch != -1)
        for index, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise ValueError(
                    f"{self.label()}: last_epoch={last_epoch}: expected an optimizer that had a scheduler "
                    f"before, got no initial_lr in parameter group {index}"
                )
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch + 1
        self._last_lr: list[float] = []
        self._write(keep=last_epoch != -1 and self.chained)

    def prepare(self, resumed: bool) -> None:
        """Checks the optimizer, once there is one, or a group added to it since, against the arguments.

        Args:
            resumed: whether the optimizer has its ``initial_lr`` already.
        """
        return

    def next_lr(self, lr: float, base_lr: float, index: int) -> float:
        """Returns the rate for t = ``last_epoch``, which has just been reached.

        Args:
            lr: the group's rate so far.
            base_lr: its initial rate.
            index: which group it is.
        """
        raise NotImplementedError(f"{type(self).__name__} has no next_lr")

    def step(self) -> None:
        """Goes on to the next t and its rate."""
        self.last_epoch += 1
        self._write()

    def restart(self) -> None:
        """Goes back to t = 0 and its rate."""
        self.last_epoch = 0
        for group, base_lr in zip(self.optimizer.param_groups, self.base_lrs, strict=False):
            group["lr"] = base_lr
        self._write()

    def _write(self, keep: bool = False) -> None:
        """Gives every group its rate; a group added to the optimizer since joins with its own.

        One that a loaded state has not is forgotten.
        """
        groups = self.optimizer.param_groups
        del self.base_lrs[len(groups) :]
        if len(groups) > len(self.base_lrs):
            self.prepare(resumed=True)
        for group in groups[len(self.base_lrs) :]:
            group.setdefault("initial_lr", group["lr"])
            self.base_lrs.append(group["initial_lr"])
        for index, (group, base_lr) in enumerate(zip(groups, self.base_lrs, strict=True)):
            if not keep:
                group["lr"] = self.next_lr(group["lr"], base_lr, index)
        self._last_lr = [group["lr"] for group in groups]

    def get_last_lr(self) -> list[float]:
        """Returns the rate of each group."""
        return list(self._last_lr)

    # ---- arguments given once, or as a list with one for each group ----------------------------------

    def check_per_group(self, name: str, value: Any) -> None:
        """Checks that a list has one entry for each parameter group.

        Raises:
            ValueError: says both counts.
        """
        count = len(self.optimizer.param_groups)
        if isinstance(value, (list, tuple)) and len(value) != count:
            raise ValueError(
                f"{self.label()}: expected {name} as one value or {count}, one for each parameter group, "
                f"got {len(value)}"
            )

    def require(self, satisfied: bool, expected: str, got: Any) -> None:
        """Checks that an argument is what it must be.

        Raises:
            ValueError: says what was expected and what came.
        """
        if not satisfied:
            raise ValueError(f"{self.label()}: expected {expected}, got {got!r}")

    # ---- momentum, for the schedules that move it too -------------------------------------------------

    def require_momentum(self) -> None:
        """Checks that the optimizer has a momentum to move.

        Raises:
            ValueError: if a group has neither ``momentum`` nor ``betas``.
        """
        self.require(
            all("momentum" in group or "betas" in group for group in self.optimizer.param_groups),
            "an optimizer with momentum or betas, or cycle_momentum=False",
            self.optimizer.label(),
        )

    def set_momentum(self, index: int, momentum: float) -> None:
        """Gives a group its ``momentum``, or its first of ``betas``."""
        group = self.optimizer.param_groups[index]
        if "betas" in group:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum

    # ---- saving and loading --------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Returns how far the schedule is, as plain numbers and lists; arguments are the constructor's."""
        values = {name: getattr(self, name) for name in self.progress}
        return {name: list(value) if isinstance(value, list) else value for name, value in values.items()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Goes on from a saved state; the rates themselves are part of the optimizer's.

        Args:
            state_dict: from :meth:`state_dict`, here or of the ``torch.optim.lr_scheduler`` namesake.

        Raises:
            ValueError: if an entry is missing.
        """
        missing = [name for name in self.progress if name not in state_dict]
        self.require(not missing, f"a state with {', '.join(self.progress)}", list(state_dict))
        for name in self.progress:
            value = state_dict[name]
            setattr(self, name, list(value) if isinstance(value, list) else value)

    def label(self) -> str:
        """Returns the name error messages begin with."""
        return type(self).__name__


def per_group(value: Any, index: int) -> Any:
    """Returns the entry for one parameter group of an argument given once or as a list."""
    return value[index] if isinstance(value, (list, tuple)) else value
