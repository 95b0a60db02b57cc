"""Callbacks: what may happen besides, at five moments of a training."""

from __future__ import annotations

import csv
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import Tensor

from ds_core.checks import checked_constructor, did_you_mean

if TYPE_CHECKING:
    from ds_core.training.trainer import Trainer

Mode = Literal["min", "max"]

LOG_FILE = "log.csv"
LOSS = "(loss)."  # stands before the paths of a loss's weights, where no attribute can begin like that
_PAUSE = 100  # steps until a log that could not be written is tried again


class Callback:
    """Base of the callbacks: five moments, each handed the trainer, each doing nothing unless overridden.

    The trainer shows where training is (``step``, ``epoch``, ``history``, ``model``, ``optimizer``, ``out``)
    and can be told to end with ``trainer.stop("reason")``. After each step: validation if it is due, then
    ``on_step_end``. A callback that remembers something gives it in ``state_dict`` and takes it back in
    ``load_state_dict``, so that a resumed training goes on as if it had never been interrupted. They are
    called in the order they are given in: of two that give the model other weights at the end, the later
    one's stay.

    Where several processes train one model, each has the callbacks and calls them; those that only write or
    show say so by ``writes = True`` and are called by the first process alone.
    """

    writes: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        """Makes a callback's constructor check its arguments, and refuses moments that never come.

        Raises:
            TypeError: if a method is called like a moment, but is none.
        """
        super().__init_subclass__(**options)
        moments = [name for name in vars(Callback) if name.startswith("on_")]
        for name, value in vars(cls).items():
            if name.startswith("on_") and callable(value) and name not in moments:
                raise TypeError(
                    f"{cls.__name__}: expected moments among {', '.join(moments)}, got {name}"
                    + did_you_mean(name, moments)
                )
        if "__init__" in vars(cls):
            cls.__init__ = checked_constructor(cls.__init__)  # type: ignore[method-assign]

    def on_fit_start(self, trainer: Trainer) -> None:
        """Before the first step; of a resumed training, after everything has been restored."""

    def on_validation_end(self, trainer: Trainer) -> None:
        """After a validation; its results are the last row of ``trainer.history.validation``."""

    def on_step_end(self, trainer: Trainer) -> None:
        """After an optimizer step; its numbers are the last row of ``trainer.history.train``.

        Reading ``trainer.history`` waits for a CUDA device to end the step; ``trainer.past`` does not.
        """

    def on_epoch_end(self, trainer: Trainer) -> None:
        """After the last step of an epoch and the validation that belongs to it."""

    def on_fit_end(self, trainer: Trainer) -> None:
        """After the last step, also when training was stopped or interrupted; not after an error."""

    def state_dict(self) -> dict[str, Any]:
        """Returns what a checkpoint must keep."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes it back."""


class _Watcher(Callback):
    """Watches one number of the validation for its best value.

    Args:
        monitor: a column of ``history.validation``.
        mode: whether less ("min") or more ("max") is better; must be given unless it is the loss.
        min_delta: how much better counts as better, at least 0.
    """

    def __init__(self, monitor: str, mode: Mode | None, min_delta: float = 0.0) -> None:
        if mode is None and monitor == "val_loss":
            mode = "min"
        if mode not in ("min", "max"):
            raise ValueError(
                f"{type(self).__name__}: expected mode 'min' or 'max', whichever is best for {monitor}, "
                f"got {mode!r}"
            )
        if min_delta < 0:
            raise ValueError(f"{type(self).__name__}: expected min_delta of at least 0, got {min_delta}")
        self.monitor = monitor
        self.mode = mode
        self.min_delta = min_delta
        self.reset()

    def reset(self) -> None:
        """Forgets what it has seen."""
        self.best = math.inf if self.mode == "min" else -math.inf

    def on_fit_start(self, trainer: Trainer) -> None:
        if trainer.validation is None:
            raise ValueError(f"{type(self).__name__}: watches {self.monitor}; give fit(..., validation=...)")
        if trainer.step == 0:
            self.reset()

    def improved(self, trainer: Trainer) -> bool:
        """Looks at the newest validation, and remembers it if it is the best so far.

        Raises:
            ValueError: if the validation does not give the number; lists those it gives.
        """
        columns = trainer.history.validation
        if self.monitor not in columns:
            raise ValueError(
                f"{type(self).__name__}: expected monitor to be one of {', '.join(columns)}, "
                f"got {self.monitor!r}"
            )
        value = columns[self.monitor][-1]
        gain = self.best - value if self.mode == "min" else value - self.best
        if not gain > self.min_delta:  # also when it is NaN
            return False
        self.best = value
        return True

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best = state["best"]


class EarlyStopping(_Watcher):
    """Ends training when validation no longer improves.

    Args:
        patience: validations without improvement after which to end.
        min_delta: how much better counts as better, at least 0.
        restore_best: whether model and loss get the best weights back when training ends, for whatever
            reason; the checkpoint keeps the latest, from which training can go on.
        monitor: which number to watch: ``val_loss``, or ``val_NAME`` of a metric.
        mode: whether less ("min") or more ("max") is better; must be given unless it is the loss.

    Raises:
        ValueError: if patience is not positive, min_delta below 0, the mode is missing, there are no
            validation data, or they do not give the number.
    """

    def __init__(
        self,
        patience: int = 10,
        min_delta: float = 0.0,
        restore_best: bool = True,
        monitor: str = "val_loss",
        mode: Mode | None = None,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        if patience < 1:
            raise ValueError(f"EarlyStopping: expected patience of at least 1, got {patience}")
        self.patience = patience
        self.restore_best = restore_best

    def reset(self) -> None:
        super().reset()
        self.waited = 0
        self.weights: dict[str, Tensor] | None = None

    def on_fit_start(self, trainer: Trainer) -> None:
        super().on_fit_start(trainer)
        self._stop_if_due(trainer)  # resumed where it had already ended

    def on_validation_end(self, trainer: Trainer) -> None:
        if self.improved(trainer):
            self.waited = 0
            if self.restore_best:
                weights = trainer.loss.state_dict(destination=trainer.model.state_dict(), prefix=LOSS)
                self.weights = {name: tensor.clone() for name, tensor in weights.items()}
        else:
            self.waited += 1
            self._stop_if_due(trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        if self.weights is not None:
            of_loss = {name: tensor for name, tensor in self.weights.items() if name.startswith(LOSS)}
            trainer.model.load_state_dict({n: t for n, t in self.weights.items() if n not in of_loss})
            trainer.loss.load_state_dict({n.removeprefix(LOSS): t for n, t in of_loss.items()})

    def _stop_if_due(self, trainer: Trainer) -> None:
        if self.waited >= self.patience:
            trainer.stop(f"{self.monitor} has not improved on {self.best:.6g} in {self.waited} validations")

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "waited": self.waited, "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.waited = state["waited"]
        self.weights = state["weights"]


class BestCheckpoint(_Watcher):
    """Keeps a checkpoint of the model at its best validation, beside the latest that the trainer keeps.

    Args:
        path: the file; None for ``best.safetensors`` in the trainer's ``out``. ``load_weights`` reads it, and
            ``fit(..., resume=path)`` goes on from it.
        monitor: which number to watch: ``val_loss``, or ``val_NAME`` of a metric.
        mode: whether less ("min") or more ("max") is better; must be given unless it is the loss.

    Raises:
        ValueError: if there is neither a path nor the trainer's ``out``, the mode is missing, there are no
            validation data, or they do not give the number.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        monitor: str = "val_loss",
        mode: Mode | None = None,
    ) -> None:
        super().__init__(monitor, mode)
        self.path = path

    def on_fit_start(self, trainer: Trainer) -> None:
        super().on_fit_start(trainer)
        path_in(trainer, self.path, "best.safetensors", self)

    def on_validation_end(self, trainer: Trainer) -> None:
        if self.improved(trainer):
            trainer.save_after_step(path_in(trainer, self.path, "best.safetensors", self))


class CSVLog(Callback):
    """Writes the history to a CSV file while it grows: one row a step, from the first step on.

    The file holds what ``history.to_csv()`` writes: a resumed training rewrites it up to the step it goes on
    from, so that rows are neither missing nor there twice. Where it cannot be written, the disk being full,
    say, a warning says so and training goes on; the log is written whole once that is possible again.

    Args:
        path: the file; None for ``log.csv`` in the trainer's ``out``.

    Raises:
        ValueError: if there is neither a path nor the trainer's ``out``.
    """

    writes = True

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = path

    def on_fit_start(self, trainer: Trainer) -> None:
        self._path = path_in(trainer, self.path, LOG_FILE, self)
        self._columns: list[str] = []  # of the file; none as long as it is not this training's
        self._written = 0  # rows in the file
        self._next = 0  # rows in the history before which not to try again

    def on_step_end(self, trainer: Trainer) -> None:
        stop = len(trainer.past) - 1  # the newest step may yet be validated
        trainer.once_begun(lambda: self._append(trainer, stop))

    def on_epoch_end(self, trainer: Trainer) -> None:
        stop = len(trainer.history)
        trainer.once_begun(lambda: self._append(trainer, stop))

    def on_fit_end(self, trainer: Trainer) -> None:
        if len(trainer.history):
            trainer.once_begun(lambda: self._try(trainer, self._rewrite))

    def _append(self, trainer: Trainer, stop: int) -> None:
        """Writes the rows up to ``stop`` that are not in the file yet."""
        history = trainer.past
        if len(history) < self._next:
            return
        if history.columns() != self._columns:  # the first step, or the first validation
            self._try(trainer, self._rewrite)
        elif stop > self._written:
            self._try(trainer, lambda trainer: self._add(trainer, stop))

    def _try(self, trainer: Trainer, write: Callable[[Trainer], None]) -> None:
        """Writes, or warns and lets some steps pass before the next attempt, which is to write everything."""
        try:
            write(trainer)
        except OSError as error:
            self._columns, self._next = [], len(trainer.past) + _PAUSE
            warnings.warn(f"CSVLog: {self._path}: {error}; training goes on without it", stacklevel=2)

    def _add(self, trainer: Trainer, stop: int) -> None:
        rows = trainer.past.rows(self._written)[: stop - self._written]
        with self._path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._columns).writerows(rows)
        self._written = stop

    def _rewrite(self, trainer: Trainer) -> None:
        trainer.past.to_csv(self._path)
        self._columns = trainer.past.columns()
        self._written = len(trainer.past)


def named_weights(trainer: Trainer) -> Iterator[tuple[str, Tensor]]:
    """Yields (path, parameter) of the model, and of the loss with ``(loss).`` before each path."""
    yield from trainer.model.named_parameters()
    yield from ((LOSS + path, parameter) for path, parameter in trainer.loss.named_parameters())


def path_in(trainer: Trainer, path: str | Path | None, name: str, callback: Callback) -> Path:
    """Returns the given path, or that of a file in the trainer's folder."""
    if path is not None:
        return Path(path)
    if trainer.out is None:
        raise ValueError(f"{type(callback).__name__}: give it a path, or the Trainer a folder: out=...")
    return trainer.out / name
