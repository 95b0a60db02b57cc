"""Trainer: the loop that turns a model, a loss, an optimizer and data into a trained model.

Read :meth:`Trainer._train` first: it is the whole training, one screen long. :meth:`Trainer._update` below it
is one optimizer step, and :meth:`Trainer._gradients` the forward and backward of one batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ds_core.clipping import clip_grad_norm_
from ds_core.data.loader import DataLoader
from ds_core.engines import EngineName, engine
from ds_core.metrics import Metric
from ds_core.module import Module, evaluating, kept_modes
from ds_core.optimizers import Optimizer
from ds_core.random_state import kept_random_state, random_state, set_random_state
from ds_core.schedulers import ReduceLROnPlateau, Scheduler
from ds_core.training.batches import (
    Batch,
    Batches,
    all_finite,
    as_batches,
    count_items,
    has_position,
    samples,
    to_device,
)
from ds_core.training.callbacks import Callback
from ds_core.training.checkpoint import load_checkpoint, save_checkpoint
from ds_core.training.files import CheckpointError
from ds_core.training.history import History
from ds_core.training.interrupt import interruptible
from ds_core.training.names import make_loss, make_metrics, make_optimizer
from ds_core.training.progress import ProgressDisplay

CHECKPOINT_FILE = "checkpoint.safetensors"
INTERRUPTED = "interrupted"
_EVALUATION_BATCH = 256  # samples at a time where no gradient needs their memory


class Trainer:
    """Trains a model: batch by batch, forward, loss, backward, clip, update.

    Full-batch, mini-batch and one-sample training are this one loop with ``batch_size`` None, 32 or 1.

    Args:
        model: the module to train, on ``device`` if one is given. Its inputs come from the data; several
            outputs (a tuple) go to the loss as ``loss(*outputs, target)``.
        loss: a scalar loss, or its name: ``"mse"``, ``"cross_entropy"``, ...
        optimizer: an optimizer over the model's parameters, or its name: ``"sgd"``, ``"adamw"``, ...
        schedule: a scheduler on that optimizer, or a function that makes one from it. It is stepped after
            every optimizer step, not every epoch; ReduceLROnPlateau after every validation, with its loss.
        engine: ``"manual"`` (our own backward) or ``"autograd"`` (torch's tape through the same forward).
        metrics: what to measure besides the loss, from the model's first output, when validating: metrics or
            their names, ``"accuracy"``, ...; a dict says what to call them.
        clip_norm: largest norm of all gradients together; None for no clipping.
        accumulate: batches whose gradients are averaged into one optimizer step, so that four batches of 8
            make the step that one of 32 makes, in a quarter of the memory.
        callbacks: see :class:`Callback`.
        out: folder of the checkpoint, made when first needed; None to write nothing.
        progress: whether to show it, live on a terminal, line by line elsewhere.
        device: where to move the model; batches follow the model.
        seed: of shuffling and of torch's random numbers during ``fit`` (dropout); each ``fit`` starts from it
            and leaves torch's global generator outside untouched. Same seed, same bits.
        lr: learning rate, for an optimizer given by name.

    Raises:
        TypeError, ValueError: if an argument is not what is said here; says what was expected.

    Example:
        >>> trainer = Trainer(Dense(1, 1), "mse", "sgd", lr=0.1, progress=False)
        >>> history = trainer.fit(x, 2 * x, epochs=50)
        >>> trainer.predict(x)
    """

    def __init__(
        self,
        model: Module,
        loss: Module | str,
        optimizer: Optimizer | str,
        schedule: Scheduler | Callable[[Optimizer], Scheduler] | None = None,
        *,
        engine: EngineName = "manual",
        metrics: Sequence[Metric | str] | Mapping[str, Metric | str] = (),
        clip_norm: float | None = None,
        accumulate: int = 1,
        callbacks: Sequence[Callback] = (),
        out: str | Path | None = None,
        progress: bool = True,
        device: torch.device | str | None = None,
        seed: int = 0,
        lr: float | None = None,
    ) -> None:
        _expect(engine in ("manual", "autograd"), "engine", "'manual' or 'autograd'", engine)
        _expect(clip_norm is None or clip_norm > 0, "clip_norm", "a number above 0, or None", clip_norm)
        _expect(accumulate >= 1, "accumulate", "at least 1", accumulate)
        self.model = model if device is None else model.to(device)
        self.device = next((p.device for p in model.parameters()), torch.device("cpu"))
        self.loss = make_loss(loss).to(self.device)
        self.optimizer = make_optimizer(optimizer, model, lr)
        self.schedule = schedule(self.optimizer) if callable(schedule) else schedule
        if self.schedule is not None and self.schedule.optimizer is not self.optimizer:
            raise ValueError("Trainer: the schedule belongs to another optimizer than the one given")
        self.engine: EngineName = engine
        self.metrics = make_metrics(metrics)
        self.clip_norm = clip_norm
        self.accumulate = accumulate
        self.callbacks = list(callbacks)
        self.out = None if out is None else Path(out)
        self.progress = progress
        self.seed = seed

        # Where training is.
        self.history = History()
        self.step = 0  # optimizer steps made
        self.epoch = 0  # epochs finished
        self.total_steps: int | None = None
        self.total_epochs: int | None = None
        self.validation: Any = None  # an iterable of batches
        self.items, self.item_name = 0, "samples"  # of the latest step
        self._data: Batches | None = None
        self._saved_at: tuple[int, int] | None = None  # step and epoch of the checkpoint in out
        self._midway = False  # is a step under way, neither undone nor done?
        self._random: dict[str, Any] | None = None  # where fit left the random numbers; None within it

    # ---- training ------------------------------------------------------------------------------------

    def fit(
        self,
        *data: Any,
        validation: Any = None,
        epochs: int | None = None,
        steps: int | None = None,
        batch_size: int | None = 32,
        shuffle: bool = True,
        validate_every: int | None = None,
        checkpoint_every: int | None = None,
        resume: bool | str | Path = False,
    ) -> History:
        """Trains for a number of epochs or of optimizer steps.

        Each call begins with step 1 and a new history, but with model, optimizer and schedule as they are.
        Ctrl-C finishes the step at hand, writes the checkpoint and returns; a second one strikes at once.

        Args:
            data: inputs and target as tensors, ``fit(x, y)`` or ``fit((x1, x2), y)``; or one thing: a tuple
                of these, or any iterable of batches, each a tuple of inputs and, last, the target, or an
                object whose ``inputs_and_target()`` gives such a tuple. It may be endless if ``steps`` is
                given. If it has ``state_dict`` and ``load_state_dict``, these tell and set the position;
                otherwise a resumed training skips the batches it has had.
            validation: as ``data``, in one argument, and finite; None for no validation.
            epochs: how often to walk through the data, counted from the beginning when resuming.
            steps: how many optimizer steps to make instead.
            batch_size: of tensors; None for all samples at once. Iterables have their own.
            shuffle: whether tensors are shuffled anew for every epoch.
            validate_every: steps between validations; None for every epoch. The end is validated anyway.
            checkpoint_every: steps between checkpoints in ``out``; None for every epoch and validation. The
                end is saved anyway.
            resume: go on from the checkpoint in ``out``, or from the one given; with the same arguments, the
                result is that of a training never interrupted, bit for bit.

        Returns:
            What was recorded; also in ``self.history``.

        Raises:
            ValueError: if not exactly one of ``epochs`` and ``steps`` is given, or the data are empty or of
                different lengths.
            TypeError: if the data are neither tensors nor an iterable of batches.
            CheckpointError: if the checkpoint to go on from is missing, damaged or of another model.
            FloatingPointError: if the loss or the gradient is not finite; the checkpoint is that of before.
        """
        if (epochs is None) == (steps is None):
            raise ValueError(f"fit: expected either epochs or steps, got epochs={epochs} and steps={steps}")
        for name, value in (("epochs", epochs), ("steps", steps)):
            _expect(value is None or value >= 0, name, "at least 0", value)
        for name, value in (("validate_every", validate_every), ("checkpoint_every", checkpoint_every)):
            _expect(value is None or value >= 1, name, "at least 1, or None", value)
        self._data = Batches(as_batches(data, batch_size, shuffle, self.seed))
        self._midway = False
        self.validation = None if validation is None else as_batches((validation,), _EVALUATION_BATCH)
        if self.validation is None and isinstance(self.schedule, ReduceLROnPlateau):
            raise ValueError("fit: ReduceLROnPlateau goes by the validation loss; give validation=...")
        self.history = History()
        self.step = self.epoch = 0
        self.total_epochs, self.total_steps, self._saved_at = epochs, steps, None
        if epochs is not None and (per_epoch := self._data.steps(self.accumulate)) is not None:
            self.total_steps = epochs * per_epoch

        with self._in_training():
            if resume is True:
                self.load(self.checkpoint_path)
                self._saved_at = (self.step, self.epoch)
            elif resume:
                self.load(resume)
            self._call("on_fit_start")
            try:
                self._train(self._data, validate_every, checkpoint_every)
            except KeyboardInterrupt:
                if self.history.stopped == INTERRUPTED:  # the second one
                    raise
                self.stop(INTERRUPTED)
            if not self._midway:
                self._save_if_wanted()
            if self.history.stopped != INTERRUPTED:
                self._validate()  # after the checkpoint: to a training resumed from it, this never happened
            self._call("on_fit_end")
        if self.history.stopped is not None and (self.progress or self.history.stopped == INTERRUPTED):
            print(self._farewell(), flush=True)
        return self.history

    def _train(self, data: Batches, validate_every: int | None, checkpoint_every: int | None) -> None:
        """Makes steps until enough are made, with what is due after each step and each epoch."""
        while not self.done:
            for batches in data.groups(self.accumulate):
                self._update(batches)
                validated = self._is_due(validate_every) and self._validate()
                self._call("on_step_end")
                if self._is_due(checkpoint_every, otherwise=validated):
                    self._save_if_wanted()
                if self.done:
                    break
            else:
                self.epoch += 1
                if validate_every is None:
                    self._validate()
                self._call("on_epoch_end")
                if checkpoint_every is None:
                    self._save_if_wanted()

    def _update(self, batches: list[Batch]) -> None:
        """Makes one optimizer step from one batch, or from several whose gradients add up."""
        self._midway = True
        self.optimizer.zero_grad()
        loss = 0.0
        for batch, share in zip(batches, self._shares(batches), strict=True):
            loss += share * self._gradients(to_device(batch, self.device), share)
        numbers = {"loss": loss, "lr": self.optimizer.param_groups[0]["lr"]}
        if self.clip_norm is not None:
            parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
            numbers["grad_norm"] = clip_grad_norm_(parameters, self.clip_norm).item()
            self._check_finite("the norm of the gradients", numbers["grad_norm"])
        self.optimizer.step()
        self._step_schedule()
        self.step += 1
        self._midway = False
        self.items, self.item_name = count_items(batches)
        self.history.record_step(step=self.step, epoch=self.epoch + 1, **numbers)

    def _gradients(self, batch: Batch, share: float) -> float:
        """Runs one batch forward and backward; its gradient, times ``share``, is added to every ``.grad``."""
        *inputs, target = batch
        with engine(self.engine):
            outputs = _as_tuple(self.model(*inputs))
            loss = self.loss(*outputs, target)
            value = self._check_finite("the loss", loss.item(), batch)
            if self.engine == "manual":
                grads = _as_tuple(self.loss.backward(share))
                self.model.backward(*grads[: len(outputs)])  # what follows would be the target's
            else:
                (loss * share).backward()
        return value

    def _shares(self, batches: list[Batch]) -> list[float]:
        """Says how much each batch counts, so that together they give the gradient of one big batch."""
        if len(batches) == 1:
            return [1.0]
        counts = [self._count(batch) for batch in batches]
        total = 1.0 if self._sums else sum(counts) or 1.0  # nothing at all: let the loss say so
        return [count / total for count in counts]

    def _count(self, batch: Batch) -> float:
        """Says how much a batch counts: 1 for a loss that sums, else what its mean divides by.

        That is the number of samples, unless the loss knows better: by ``count(target)``, the tokens that are
        not padding, say.
        """
        if self._sums:
            return 1.0
        return float(self.loss.count(batch[-1])) if hasattr(self.loss, "count") else samples(batch)

    def _validate(self) -> bool:
        """Evaluates the validation data, unless this step has seen it done; says whether there are any."""
        if self.validation is None:
            return False
        if self.history.validation.get("step", [-1])[-1] != self.step:
            results = self.evaluate(self.validation)
            numbers = {f"val_{name}": value for name, value in results.items() if isinstance(value, float)}
            epoch = self.history["epoch"][-1] if len(self.history) else 0
            self.history.record_validation(step=self.step, epoch=epoch, **numbers)
            self._step_schedule(results["loss"])
            self._call("on_validation_end")
        return True

    @property
    def done(self) -> bool:
        """Says whether enough steps or epochs are made, or :meth:`stop` was called."""
        if self.history.stopped is not None:
            return True
        if self.total_epochs is not None:
            return self.epoch >= self.total_epochs
        return self.total_steps is not None and self.step >= self.total_steps

    def stop(self, reason: str) -> None:
        """Ends training after the step at hand; for callbacks."""
        self.history.stopped = reason

    @contextmanager
    def _in_training(self) -> Iterator[None]:
        """Makes model, random numbers and Ctrl-C ready for training; puts them back, also after an error."""
        gpu = [self.device] if self.device.type == "cuda" else []
        input_grad = self.model.input_grad
        display = ProgressDisplay() if self.progress else None
        self._listeners = [*self.callbacks, *([display] if display else [])]
        with (
            kept_modes(self.model, self.loss),
            torch.random.fork_rng(gpu),
            interruptible(lambda: self.stop(INTERRUPTED)),
        ):
            self._random = None
            torch.manual_seed(self.seed)
            self.model.train()
            self.loss.train()
            self.model.requires_input_grad_(False)  # data need no gradient
            try:
                yield
            finally:
                self._random = random_state(model=self.model, loss=self.loss)
                self.model.requires_input_grad_(input_grad)
                if display is not None:
                    display.close()

    def _call(self, moment: str) -> None:
        """Tells every callback that a moment has come; Ctrl-C raised there is a wish like any other."""
        for callback in self._listeners:
            try:
                getattr(callback, moment)(self)
            except KeyboardInterrupt:
                if self.history.stopped == INTERRUPTED:
                    raise
                self.stop(INTERRUPTED)

    def _is_due(self, every: int | None, otherwise: bool = False) -> bool:
        return otherwise if every is None else self.step % every == 0

    def _step_schedule(self, validation_loss: float | None = None) -> None:
        """Steps the schedule after an update, or after a validation if that is what it goes by."""
        if isinstance(self.schedule, ReduceLROnPlateau):
            if validation_loss is not None:
                self.schedule.step(validation_loss)
        elif self.schedule is not None and validation_loss is None:
            self.schedule.step()

    def _check_finite(self, what: str, value: float, batch: Batch | None = None) -> float:
        """Holds a number to be finite.

        Raises:
            FloatingPointError: says where training is, what may help and what is left.
        """
        if math.isfinite(value):
            return value
        lr = self.optimizer.param_groups[0]["lr"]
        if batch is not None and not all_finite(batch):
            advice = "The batch itself holds NaN or infinity: look at the data."
        else:
            advice = f"Try a smaller learning rate (such as {lr / 10:.2g}), clip_norm=1.0 or a warm-up."
        if self._saved_at is not None:
            advice += f" The checkpoint of step {self._saved_at[0]} is untouched: {self.checkpoint_path}"
        where = f"step {self.step + 1}, epoch {self.epoch + 1}"
        raise FloatingPointError(f"{where}: {what} is {value} at learning rate {lr:.3g}. {advice}")

    def _farewell(self) -> str:
        """Says why training ended early, and how to go on."""
        if self.history.stopped != INTERRUPTED:
            return f"Stopped after step {self.step}: {self.history.stopped}."
        said = f"Interrupted after step {self.step}."
        if self._saved_at is None:
            return f"{said} No checkpoint was written; Trainer(..., out=FOLDER) writes them."
        step, path = self._saved_at[0], self.checkpoint_path
        return f"{said} The checkpoint of step {step} is {path}; fit(..., resume=True) goes on from it."

    # ---- using the model -----------------------------------------------------------------------------

    def evaluate(self, *data: Any, batch_size: int | None = _EVALUATION_BATCH) -> dict[str, Any]:
        """Measures loss and metrics, in eval mode, leaving modes and random numbers as they were.

        Args:
            data: as for :meth:`fit`, finite.
            batch_size: of tensors; None for all samples at once.

        Returns:
            ``"loss"``, that of all samples together, and each metric by its name. However the data are cut
            into batches, the loss is the same, also if it counts classes by weight or ignores padding.

        Raises:
            ValueError, TypeError: as :meth:`fit` does.
        """
        total = count = 0.0
        for metric in self.metrics.values():
            metric.reset()
        with self._in_evaluation():
            for (batch,) in Batches(as_batches(data, batch_size)).groups(1):
                *inputs, target = to_device(batch, self.device)
                outputs = _as_tuple(self.model(*inputs))
                loss = self.loss(*outputs, target).item()
                weight = self._count(batch)
                total += loss * weight if weight else 0.0  # the mean over nothing is no number
                count += weight
                for metric in self.metrics.values():
                    metric.update(outputs[0], target)
            results = {name: _plain(metric.compute()) for name, metric in self.metrics.items()}
        mean = total / count if count else math.nan
        return {"loss": total if self._sums else mean, **results}

    def predict(self, *inputs: Tensor, batch_size: int | None = _EVALUATION_BATCH) -> Any:
        """Returns the model's output, in eval mode.

        Args:
            inputs: the model's inputs, each ``(samples, ...)``.
            batch_size: how many samples at a time; None for all.

        Returns:
            The output for all samples, ``(samples, ...)``; a tuple if the model has several.

        Raises:
            ValueError: if there are no samples, or inputs differ in length.
        """
        with self._in_evaluation():
            parts = [
                _as_tuple(self.model(*to_device(batch, self.device)))
                for batch in DataLoader(*inputs, batch_size=batch_size)
            ]
            outputs = tuple(torch.cat(several) for several in zip(*parts, strict=True))
        return outputs if len(outputs) > 1 else outputs[0]

    def predict_proba(self, *inputs: Tensor, batch_size: int | None = _EVALUATION_BATCH) -> Tensor:
        """Returns probabilities: what the loss makes of the model's output before comparing it to the target.

        The loss says what, by ``probabilities(outputs)``: the softmax over the classes for CrossEntropyLoss,
        the sigmoid for BCEWithLogitsLoss.

        Args:
            inputs: the model's inputs, each ``(samples, ...)``.
            batch_size: how many samples at a time; None for all.

        Returns:
            Numbers from 0 to 1, in the shape of the output.

        Raises:
            TypeError: if the loss has no such meaning.
        """
        outputs: Tensor = self.predict(*inputs, batch_size=batch_size)
        if not hasattr(self.loss, "probabilities"):
            raise TypeError(
                f"predict_proba: outputs trained with {self.loss.label()} are no probabilities; use predict"
            )
        probabilities: Tensor = self.loss.probabilities(outputs)
        return probabilities

    @contextmanager
    def _in_evaluation(self) -> Iterator[None]:
        """Switches to eval mode, without gradients; puts all back, and random numbers too, also on error."""
        modules = {"model": self.model, "loss": self.loss}
        with torch.no_grad(), kept_random_state(**modules), evaluating(*modules.values()):
            yield

    @property
    def _sums(self) -> bool:
        """Says whether the loss of a batch is the sum, not the mean, of those of its samples."""
        return getattr(self.loss, "reduction", "mean") == "sum"

    # ---- checkpoints ---------------------------------------------------------------------------------

    @property
    def checkpoint_path(self) -> Path:
        """Where the latest checkpoint lies.

        Raises:
            ValueError: if the trainer has no folder.
        """
        if self.out is None:
            raise ValueError("Trainer: there is no folder for checkpoints; give out=...")
        return self.out / CHECKPOINT_FILE

    def save(self, path: str | Path) -> None:
        """Writes everything needed to go on from here, all or nothing; see :func:`save_checkpoint`.

        Raises:
            FloatingPointError: if weights are not finite: the previous file is worth more.
        """
        for name, parameter in self.model.named_parameters():
            if not all_finite([parameter]):
                self._check_finite(f"the weight {name}", math.nan)
        save_checkpoint(path, self.state_dict())

    def load(self, path: str | Path) -> None:
        """Goes to where :meth:`save` was called.

        Raises:
            CheckpointError: if the file is missing or damaged, or belongs to another training.
        """
        state = load_checkpoint(path)
        try:
            self.load_state_dict(state)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"{path}: does not fit this training: {error}") from error

    def state_dict(self) -> dict[str, Any]:
        """Returns weights, optimizer, schedule, history, position, random numbers and callbacks' memory."""
        return {
            "step": self.step,
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "loss": self.loss.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "history": self.history.state_dict(),
            "data": None if self._data is None else self._data.state_dict(),
            "validation": self.validation.state_dict() if has_position(self.validation) else None,
            "callbacks": [[type(callback).__name__, callback.state_dict()] for callback in self.callbacks],
            "random": self._random or random_state(model=self.model, loss=self.loss),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes everything back.

        Raises:
            ValueError: if a part is missing, or does not fit its counterpart here.
        """
        missing = [name for name in self.state_dict() if name not in state]
        if missing:
            raise ValueError(f"the state lacks {', '.join(missing)}")
        if (state["schedule"] is None) != (self.schedule is None):
            raise ValueError("one of the two has a schedule, the other has none")
        self.model.load_state_dict(state["model"])
        self.loss.load_state_dict(state["loss"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        self.history.load_state_dict(state["history"])
        if self._data is not None and state["data"] is not None:
            self._data.load_state_dict(state["data"])
        if has_position(self.validation) and state["validation"] is not None:
            self.validation.load_state_dict(state["validation"])
        for callback, (name, memory) in zip(self.callbacks, state["callbacks"], strict=False):
            if type(callback).__name__ == name:
                callback.load_state_dict(memory)
        self.step, self.epoch = state["step"], state["epoch"]
        self._random = None
        set_random_state(state["random"], model=self.model, loss=self.loss)

    def _save_if_wanted(self) -> None:
        """Writes the checkpoint in ``out``, unless there is no such folder or it is of this very step."""
        if self.out is not None and self._saved_at != (self.step, self.epoch):
            self.save(self.checkpoint_path)
            self._saved_at = (self.step, self.epoch)


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _plain(value: Any) -> Any:
    """Turns a tensor with one number into that number."""
    if isinstance(value, Tensor) and value.numel() == 1:
        return float(value)
    return float(value) if isinstance(value, (int, float)) else value


def _expect(satisfied: bool, name: str, expected: str, got: object) -> None:
    if not satisfied:
        raise ValueError(f"Trainer: {name}: expected {expected}, got {got!r}")
