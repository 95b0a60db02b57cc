"""Trainer: the loop that turns a model, a loss, an optimizer and data into a trained model.

Read :meth:`Trainer._train` first: it is the whole training, one screen long. :meth:`Trainer._update` below it
is one optimizer step, and :meth:`Trainer._gradients` the forward and backward of one batch.
"""

from __future__ import annotations

import copy
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from ds_core.checks import as_path, check_whole, checked_constructor, checked_together, shown
from ds_core.clipping import grad_norm, scale_to_norm_
from ds_core.data.split import train_test_split
from ds_core.devices import pick_device
from ds_core.distributed import GradientBuckets, ProcessLost, alone, leads, world
from ds_core.engines import EngineName, engine
from ds_core.kernels.matmul import table_in_force, use_table
from ds_core.losses.loss import as_tuple, measured, output_grads
from ds_core.metrics import Metric
from ds_core.module import Module, begin_training, check_found, evaluating, kept_modes
from ds_core.optimizers import Optimizer
from ds_core.precision import PrecisionName, precision
from ds_core.random_state import kept_random_state, lent_generator, random_state, set_random_state
from ds_core.schedulers import ReduceLROnPlateau, Scheduler
from ds_core.training.batches import (
    Batch,
    Batches,
    Named,
    all_finite,
    as_batches,
    as_tensors,
    check_ends,
    count_items,
    fingerprint_of,
    has_position,
    input_batches,
    samples,
    to_device,
)
from ds_core.training.by_name import (
    make_callbacks,
    make_loss,
    make_metrics,
    make_optimizer,
    make_schedule,
    planned,
    schedule_by_name,
)
from ds_core.training.callbacks import Callback
from ds_core.training.checkpoint import load_checkpoint, save_checkpoint
from ds_core.training.compiled import Compiled
from ds_core.training.data_parallel import DataParallel
from ds_core.training.files import CheckpointError
from ds_core.training.history import History
from ds_core.training.interrupt import interruptible
from ds_core.training.loss_scaling import LossScaling
from ds_core.training.reading import Reading
from ds_core.training.settings import (
    differences,
    module_settings,
    optimizer_settings,
    schedule_settings,
)

CHECKPOINT_FILE = "checkpoint.safetensors"
INTERRUPTED = "interrupted"
_EVALUATION_BATCH = 256  # samples at a time where no gradient needs their memory


class Trainer:
    """Trains a model: batch by batch, forward, loss, backward, clip, update.

    Full-batch, mini-batch and one-sample training are this one loop with ``batch_size`` None, 32 or 1.

    Where `torchrun` has started a script several times, each process computes with its rows of every batch,
    and the steps are those of one process with the whole batches; see :class:`DataParallel`. The first one
    writes ``out``, which all machines can read, shows the progress and validates.

    Args:
        model: the module to train, on ``device`` if one is given. Its inputs come from the data; several
            outputs (a tuple) go to the loss as ``loss(*outputs, target)``, or with the target where the
            loss's forward has that name: GaussianNLLLoss has it between mean and variance.
        loss: a scalar loss, or its name: ``"mse"``, ``"cross_entropy"``, ...
        optimizer: an optimizer over parameters of the model, or of the loss, or its name: ``"sgd"``, ..., for
            all of both that need a gradient.
        schedule: a scheduler on that optimizer, a function that makes one from it, or a name. It is stepped
            after every optimizer step, not every epoch; ReduceLROnPlateau after every validation, with its
            loss. By name, ``"cosine"``, ``"linear"`` and ``"polynomial"`` lead to 0 over all steps of
            ``fit``, ``"warmup_cosine"`` after a twentieth of them in which the rate rises, anew in each
            ``fit``; ``"plateau"`` and ``"constant"`` have their defaults, the latter a third of the rate for
            five steps. Others need arguments.
        engine: ``"manual"`` (our own backward) or ``"autograd"`` (torch's autograd through the same forward).
        precision: of products of matrices, see :mod:`ds_core.precision`: ``"float32"``, ``"bf16"``, or
            ``"fp16"`` with a scaled loss; weights and all else are float32's. Validation has it, too.
        compile: whether forward and backward go through ``torch.compile``: formulas instead of kernels. The
            first steps take long, and ids outside a vocabulary are not found out. Or the name of a backend
            of it. ``trainer.compilations`` counts.
        metrics: what to measure besides the loss, from the model's first output, when validating: metrics or
            their names, ``"accuracy"``, ...; one of them or several; a dict says what to call them. By name,
            they find classes in the dimension, and ignore the targets, that the loss does.
        clip_norm: largest norm of all gradients together; None for no clipping.
        accumulate: batches whose gradients are averaged into one optimizer step, so that four batches of 8
            make the step that one of 32 makes, in a quarter of the memory.
        callbacks: see :class:`Callback`; or their names, for those with defaults: ``"best_checkpoint"``,
            ``"csv_log"``, ``"early_stopping"``, ``"moving_average"``, ``"tensorboard"``.
        out: folder of the checkpoint, made when first needed; None to write nothing.
        progress: whether to show it: live on a terminal and in a notebook, line by line elsewhere.
        device: where to move the model; batches follow the model. See :func:`ds_core.devices.pick_device`:
            ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``, or ``"auto"`` for CUDA's if there is one. CUDA's
            computes ahead: a step's numbers are read and checked while it computes the next.
        seed: of shuffling and of all random numbers during ``fit`` (dropout); each ``fit`` starts from it.
            The trainer owns a generator and lends it to every module whose ``generator`` is None, so
            trainings in several threads do not disturb one another. What draws from torch's global
            generator, such as a layer in a step that is compiled or data of one's own, finds it seeded in
            the main thread, and as it was afterwards; in other threads it is left alone. Same seed, same
            bits, on one kind of device: each draws its own numbers. CUDA's adds up in an order of its own in
            ``index_add_`` and its like (embeddings, max pooling), unless
            ``torch.use_deterministic_algorithms(True)`` says otherwise.
        lr: learning rate, for an optimizer given by name.
        settings: what else the result depends on, as names and numbers or words, such as what the data were
            made from. Checkpoints keep it beside what the trainer knows itself, and a training is not resumed
            with another.

    Raises:
        TypeError, ValueError: if an argument is not what is said here; says what was expected.

    Example:
        >>> trainer = Trainer(Dense(1, 1), "mse", "sgd", lr=0.1, progress=False)
        >>> history = trainer.fit(x, 2 * x, epochs=50)
        >>> trainer.predict(x)
    """

    _whole_groups: ClassVar[bool] = False  # may the last step of an epoch have fewer batches than others?
    _remedies: ClassVar[str] = "clip_norm=1.0 or a warm-up"  # against numbers that are not finite

    @checked_constructor
    def __init__(
        self,
        model: Module,
        loss: Module | str,
        optimizer: Optimizer | str,
        schedule: Scheduler | Callable[[Optimizer], Scheduler] | str | None = None,
        *,
        engine: EngineName = "manual",
        precision: PrecisionName = "float32",
        compile: bool | str = False,
        metrics: Sequence[Metric | str] | Mapping[str, Metric | str] | Metric | str = (),
        clip_norm: float | None = None,
        accumulate: int = 1,
        callbacks: Sequence[Callback | str] | Callback | str = (),
        out: str | Path | None = None,
        progress: bool = True,
        device: torch.device | str | None = None,
        seed: int = 0,
        lr: float | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        if compile and engine != "manual":
            raise ValueError(f"Trainer: compile: expected False with torch's autograd, got {compile!r}")
        if clip_norm is not None and clip_norm <= 0:
            raise ValueError(f"Trainer: clip_norm: expected a number above 0, or None, got {clip_norm}")
        check_whole("Trainer", accumulate=accumulate)
        check_whole("Trainer", -(2**63), seed=seed)
        accumulate, seed = int(accumulate), int(seed)  # numpy's are welcome, too
        check_found(model)
        world()  # before anything is put on a device: each process has one of its own
        self.model = model if device is None else model.to(pick_device(device, "Trainer: device"))
        kinds = {p.dtype for p in model.parameters() if p.is_floating_point()} - {torch.float32}
        if precision != "float32" and kinds:
            raise TypeError(
                f"Trainer: precision={precision!r}: expected a model in float32, whose products alone are "
                f"{precision}, got one in {', '.join(map(str, kinds))}; use model.float()"
            )
        self.device = next((p.device for p in model.parameters()), torch.device("cpu"))
        self.loss = make_loss(loss).to(self.device)
        check_found(self.loss)
        self.optimizer = make_optimizer(optimizer, model, self.loss, lr)
        self._named = schedule_by_name(schedule) if isinstance(schedule, str) else None
        self.schedule: Scheduler | None = None  # by name, it is made when its steps are known
        if not isinstance(schedule, str):
            self.schedule = schedule(self.optimizer) if callable(schedule) else schedule
            if schedule is not None and not isinstance(self.schedule, Scheduler):
                made = shown(self.schedule)
                raise TypeError(f"Trainer: schedule: expected a function that makes a Scheduler, got {made}")
        if self.schedule is not None and self.schedule.optimizer is not self.optimizer:
            raise ValueError("Trainer: the schedule belongs to another optimizer than the one given")
        self.engine: EngineName = engine
        self.precision: PrecisionName = precision
        self.compile = compile
        self._scaling = LossScaling() if precision == "fp16" else None
        self._compiled = Compiled(self._forward_backward, self.device, compile) if compile else None
        self.metrics = make_metrics(metrics, self.loss)
        self.clip_norm = clip_norm
        self.accumulate = accumulate
        self.callbacks = make_callbacks(callbacks)
        self.out = None if out is None else Path(out)
        self.progress = progress
        self.seed = seed
        self.settings = dict(settings or {})
        self._rules = {  # as they are before the first step
            "optimizer": optimizer_settings(self.optimizer),
            "schedule": schedule_settings(self.schedule),
        }
        self._frozen_first = self._frozen()  # callbacks may freeze and thaw
        self._generator = torch.Generator(self.device).manual_seed(seed)

        # Where training is.
        self.past = History()  # as far as it has been read from the device; see history
        self._unread: deque[_Step] = deque()  # the latest steps, whose numbers it may still be computing
        self.step = 0  # optimizer steps made
        self.epoch = 0  # epochs finished
        self.total_steps: int | None = None
        self.total_epochs: int | None = None
        self.validation: Any = None  # an iterable of batches
        self.items, self.item_name = 0, "samples"  # of the latest step
        self._data: Batches | None = None
        self._saved_at: tuple[int, int] | None = None  # step and epoch of the checkpoint in out
        self._parallel: DataParallel | None = None  # while several processes train
        self._asked: str | None = None  # why to stop, until all processes know
        self._waiting: list[Callable[[], None]] = []  # for the first checkpoint, see once_begun
        self._to_save: list[str | Path] = []  # at the end of the step at hand, see save_after_step
        self._midway = False  # is a step under way, neither undone nor done?
        self._random: dict[str, Any] | None = None  # where fit left the random numbers; None within it
        self._printed: tuple[Any, str | None] = None, None  # validation data and their fingerprint
        self._products = table_in_force()  # how products of matrices are computed: it decides their last bits

    # ---- training ------------------------------------------------------------------------------------

    def fit(
        self,
        *data: Any,
        validation: Any = None,
        validation_split: float | None = None,
        epochs: int | None = None,
        steps: int | None = None,
        batch_size: int | None = 32,
        shuffle: bool = True,
        validate_every: int | None = None,
        checkpoint_every: int | None = None,
        resume: bool | str | Path = False,
    ) -> History:
        """Trains for a number of epochs or of optimizer steps.

        Each call begins with step 1 and a new history, but with model, optimizer and schedule as they are. A
        model in eval mode is switched to training, and back at the end; layers in eval mode within a model in
        training stay as they are. Ctrl-C and SIGTERM finish the step at hand, write the checkpoint and
        return; a second one acts at once.

        ``out`` is written from the first step on. With its checkpoint that of an earlier training there is
        replaced.

        Args:
            data: inputs and target as tensors, arrays of numpy or tables of pandas, ``fit(x, y)`` or
                ``fit((x1, x2), y)``; floating point numbers in arrays take the type of the model's. Or one
                thing: a tuple of these; a dataset of tensors, or of samples to be had by number; or any
                iterable of batches, such as a loader of torch, each a tuple of inputs and, last, the target,
                a dict, or an object whose ``inputs_and_target()`` gives such a tuple. In a dict, and of
                samples that are dicts, ``target``, ``label``, ``labels`` or ``y`` is the target; what else
                there is goes to the model, several things by their names. An iterable may be endless if
                ``steps`` is given. If it has ``state_dict`` and ``load_state_dict``, these tell and set the
                position; otherwise a resumed training skips the batches it has had. A stream of the package
                `datasets` comes in its own order: its ``shuffle`` gives another.
            validation: as ``data``, in one argument, and finite; None for no validation.
            validation_split: the share of samples, drawn by the seed, to set aside for validation instead;
                of tensors and arrays.
            epochs: how often to walk through the data, counted from the beginning when resuming.
            steps: how many optimizer steps to make instead.
            batch_size: of tensors and samples; None for all at once. Iterables have their own.
            shuffle: whether tensors and samples are shuffled anew for every epoch.
            validate_every: steps between validations; None for every epoch. The end is validated anyway.
            checkpoint_every: steps between checkpoints in ``out``; None for every epoch and validation, and
                for every tenth of ``steps`` where an epoch may never end and nothing is validated within it.
                The first step and the end are saved anyway; where no step is made, nothing is written.
            resume: go on from the checkpoint in ``out``, or from the one given; the result is that of a
                training never interrupted, bit for bit. Only ``epochs`` or ``steps`` and when to validate and
                to save may differ from the arguments before.

        Returns:
            What was recorded; also in ``self.history``.

        Raises:
            ValueError: if not exactly one of ``epochs`` and ``steps`` is given, or the data are empty or of
                different lengths.
            TypeError: if the data are nothing of what is said above, or a number is not whole.
            CheckpointError: if the checkpoint to go on from is missing, damaged or of another training; says
                what differs. Nothing has changed then, neither here nor on the disk.
            FloatingPointError: if the loss or the gradient is not finite; the checkpoint is that of before,
                and so are the weights, but on a CUDA device, where it is found out a step later.
        """
        if (epochs is None) == (steps is None):
            raise ValueError(f"fit: expected either epochs or steps, got epochs={epochs} and steps={steps}")
        check_whole("fit", 0, **_given(epochs=epochs, steps=steps))
        check_whole("fit", **_given(validate_every=validate_every, checkpoint_every=checkpoint_every))
        if validation_split is not None:
            data, validation = self._split(data, validation, validation_split)
        made = as_batches(data, batch_size, shuffle, self.seed, self._dtype)
        batches = Batches(made, _is_main_thread(), self._dtype, self._whole_groups)
        held_out = None if validation is None else self._held_out(validation)
        if epochs is not None:
            check_ends(batches.data, epochs, "give steps= instead of epochs=")
        if held_out is not None:
            check_ends(held_out, 1, "give some of them as validation=, in a list")
        if held_out is None and (isinstance(self.schedule, ReduceLROnPlateau) or self._named == "plateau"):
            raise ValueError("fit: ReduceLROnPlateau goes by the validation loss; give validation=...")
        path = self.checkpoint_path if resume is True else as_path("fit", resume) if resume else None
        state = None if path is None else load_checkpoint(path)
        per_epoch = batches.steps(self.accumulate)
        total = epochs * per_epoch if epochs is not None and per_epoch is not None else steps
        plan = None if self._named is None else planned(self._named, total)

        if state is not None:
            with kept_random_state(world=_is_main_thread()):  # those of the training are not the caller's
                self._load(state, path, batches, held_out, plan)
        else:
            if plan is not None:
                self._make_schedule(plan)
            self._begin(History(), 0, 0)
            self._products, self._frozen_first = table_in_force(), self._frozen()
        self._data, self.validation, first = batches, held_out, self.step
        self._saved_at = (self.step, self.epoch) if resume is True else None
        self._midway, self._waiting, self._to_save = False, [], []
        self.total_epochs, self.total_steps = epochs, total

        with self._in_training():
            if state is not None:
                set_random_state(state["random"], world=_is_main_thread(), **self._sources)
            self._call("on_fit_start")
            self._agree_to_stop()
            try:
                self._train(batches, validate_every, checkpoint_every)
            except KeyboardInterrupt:
                if self.past.stopped == INTERRUPTED or self._parallel is not None:  # the second one
                    raise
                self.stop(INTERRUPTED)
            self._record()
            # Without a step, what is there is worth more.
            if (self.step > first or self._saved_at is not None) and not self._midway:
                self._save_if_wanted()
            if self.history.stopped != INTERRUPTED:
                self._validate()  # after the checkpoint: to a training resumed from it, this never happened
            self._save_what_waits()
            self._call("on_fit_end")
        said = self.history.stopped is not None and (self.progress or self.history.stopped == INTERRUPTED)
        if said and leads():
            print(self._farewell(), flush=True)
        return self.history

    def _train(self, data: Batches, validate_every: int | None, checkpoint_every: int | None) -> None:
        """Makes steps until enough are made, with what is due after each step and each epoch."""
        endless = validate_every is None and data.steps(self.accumulate) is None
        tenth = max(1, self.total_steps // 10) if endless and self.total_steps else None
        while not self.done:
            for batches in data.groups(self.accumulate):
                self._update(batches)
                validated = self._is_due(validate_every) and self._validate()
                self._call("on_step_end")
                self._save_what_waits()
                self._agree_to_stop()
                if self._is_due(checkpoint_every or tenth, otherwise=validated) or self._saved_at is None:
                    self._save_if_wanted()  # the first step, too: what was there is of another training
                if self.done:
                    break
            else:
                self.epoch += 1
                if validate_every is None:
                    self._validate()
                self._call("on_epoch_end")
                self._save_what_waits()
                self._agree_to_stop()
                if checkpoint_every is None:
                    self._save_if_wanted()

    def _update(self, batches: list[Batch]) -> None:
        """Makes one optimizer step from one batch, or from several whose gradients add up.

        What is to be known of it, loss and norm, is read from the device together, once a step.
        """
        self._midway = True
        shared = [(batch, share) for batch, share in self._shares(batches) if share]
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        usable = False
        while not usable:  # with a scaled loss, until no gradient is too large for float16
            scale = 1.0 if self._scaling is None else self._scaling.scale
            self.optimizer.zero_grad()
            parts = shared
            with self._drawing(), self._within(batches), checked_together() as doubts:
                losses = []
                for number, (batch, share) in enumerate(shared, 1):
                    with self._sending(number == len(shared)):
                        losses.append(self._gradients(to_device(batch, self.device), share * scale))
            if self._parallel is not None:
                losses = [self._of_all(losses, [share for _, share in shared])]
                parts = [(batches[0], 1.0)]
            usable = self._scaling is None or self._scaling.undo(parameters)
        norms = [] if self.clip_norm is None else [grad_norm(parameters)]

        def look(step: _Step, values: list[float]) -> dict[str, float]:
            for doubt, wrong in zip(doubts, values[len(values) - len(doubts) :], strict=True):
                if wrong:
                    raise doubt.error()
            for (batch, _), value in zip(parts, values, strict=False):
                self._check_finite(step, "the loss", value, batch)
            loss = sum(share * value for (_, share), value in zip(parts, values, strict=False))
            numbers = {"loss": loss, "lr": step.lr}
            if norms:
                norm = values[len(parts)]
                numbers["grad_norm"] = self._check_finite(step, "the norm of the gradients", norm)
            if self._scaling is not None:
                numbers["loss_scale"] = scale
            return numbers

        made = self._step([*losses, *norms, *(doubt.wrong for doubt in doubts)], look)
        # What is wrong is said before anything changes, except on a device that computes ahead.
        numbers = {} if self._computes_ahead else made.numbers
        if self.clip_norm is not None:
            scale_to_norm_(parameters, self.clip_norm, numbers.get("grad_norm", norms[0]))
        self.optimizer.step()
        self._step_schedule()
        self._made(made, batches)

    def _step(self, values: Sequence[Tensor], look: Look | None = None) -> _Step:
        """Describes the step at hand, whose numbers are read from now on."""
        lr = self.optimizer.param_groups[0]["lr"]
        return _Step(self.step + 1, self.epoch + 1, lr, Reading(values), look)

    def _made(self, step: _Step, batches: list[Batch]) -> None:
        """Counts a step as made; that before it, by now read from the device, is recorded."""
        self.step += 1
        self._midway = False
        self.items, self.item_name = count_items(batches)
        self._unread.append(step)
        self._record(ahead=int(self._computes_ahead))

    @property
    def _computes_ahead(self) -> bool:
        """Says whether the device computes a step while the numbers of the one before are read."""
        return self.device.type == "cuda" and self._scaling is None

    @property
    def compilations(self) -> int:
        """How many graphs ``torch.compile`` has made of this trainer's step."""
        return 0 if self._compiled is None else self._compiled.compilations

    def _record(self, ahead: int = 0) -> None:
        """Records all steps but the last ``ahead``.

        Raises:
            FloatingPointError, IndexError: if their numbers are not what they should be.
        """
        while len(self._unread) > ahead:
            step = self._unread.popleft()
            self.past.record_step(step=step.step, epoch=step.epoch, **step.numbers)

    @property
    def history(self) -> History:
        """What was recorded, up to the latest step: waits for a device that is still computing it.

        ``past`` is the same without waiting: on a CUDA device the latest step is missing there.
        """
        self._record()
        return self.past

    def _begin(self, history: History, step: int, epoch: int) -> None:
        """Puts training where a history leads to."""
        self.past, self.step, self.epoch = history, step, epoch
        self._unread.clear()

    def _gradients(self, batch: Batch, share: float) -> Tensor:
        """Runs one batch forward and backward; its gradient, times ``share``, is added to every ``.grad``."""
        *inputs, target = batch
        with precision(self.precision):
            if self._compiled is not None:
                # As a number it would become part of the program.
                factor = torch.tensor(share, dtype=self._dtype, device=self.device)
                with torch.no_grad():
                    return self._compiled(inputs, target, factor)
            with engine(self.engine):
                if self.engine == "manual":
                    return self._forward_backward(inputs, target, share)
                loss = self._measured(self._outputs(inputs), target)
                (loss * share).backward()
        return loss.detach()

    def _forward_backward(self, inputs: Sequence[Any], target: Any, share: Tensor | float) -> Tensor:
        """Runs a batch through the model and the loss, and back."""
        outputs = self._outputs(inputs)
        loss = self._measured(outputs, target)
        self.model.backward(*output_grads(self.loss, outputs, self.loss.backward(share)))
        return loss

    def _outputs(self, inputs: Sequence[Any]) -> tuple[Any, ...]:
        """Runs the model on the inputs of a batch, which come by their places or by their names."""
        if len(inputs) == 1 and isinstance(inputs[0], Named):
            return as_tuple(self.model(**inputs[0]))
        return as_tuple(self.model(*inputs))

    def _measured(self, outputs: tuple[Any, ...], target: Any) -> Tensor:
        """Returns what the loss says of a batch.

        Raises:
            TypeError: if that is no tensor of one number.
        """
        loss = measured(self.loss, outputs, target)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            raise TypeError(
                f"{self.loss.label()}: expected forward to give a loss, a tensor of one number, got "
                + shown(loss)
            )
        return loss

    def _make_schedule(self, plan: Mapping[str, Any]) -> None:
        """Makes the schedule that was given by name."""
        self.schedule = make_schedule(plan["name"], self.optimizer, plan["steps"])
        self._rules["schedule"] = dict(plan)

    def _shares(self, batches: list[Batch]) -> list[tuple[Batch, float]]:
        """Says how much each batch counts, so that together they give the gradient of one big batch.

        Nothing at all where every target is ignored; if that is so in all of them, the loss will say so.
        A loss that is a sum of means over different things looks at the whole itself, see :meth:`_within`.
        Of several processes, each has its part of each batch, if it is not too small for that.
        """
        parts: list[Batch | None] = list(batches)
        if self._parallel is not None:
            parts = [self._parallel.part(batch) for batch in batches]
        elif len(batches) == 1:
            return [(batches[0], 1.0)]
        here = [part for part in parts if part is not None]
        if self._sums or hasattr(self.loss, "within"):
            return [(part, 1.0) for part in here]
        total = sum(self._count(batch) for batch in batches)
        return [(part, self._count(part) / total if total else 1.0) for part in here]

    def _within(self, batches: list[Batch]) -> AbstractContextManager[None]:
        """Tells a loss that wants to know it what else there is in the step than the batch it is given."""
        if not hasattr(self.loss, "within") or (len(batches) == 1 and self._parallel is None):
            return nullcontext()
        whole: AbstractContextManager[None] = self.loss.within([batch[-1] for batch in batches])
        return whole

    # ---- with other processes --------------------------------------------------------------------------

    def _drawing(self) -> AbstractContextManager[None]:
        """Gives the model random numbers of this process's own for a step."""
        if self._parallel is None:
            return nullcontext()
        return self._parallel.drawing(self.seed, self.step, self.device, self._sources)

    def _sending(self, last: bool) -> AbstractContextManager[None]:
        """Sends gradients to the other processes as soon as they are complete, in a step's last backward."""
        if self._parallel is None or not last or self._compiled is not None:  # a program tells nobody
            return nullcontext()
        return self._buckets(self._parallel).listening()

    def _of_all(self, losses: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
        """Adds up gradients over all processes, and returns the loss of the whole batches."""
        assert self._parallel is not None
        whole = torch.zeros((), dtype=torch.float64, device=self.device)
        for loss, share in zip(losses, shares, strict=True):
            whole += share * loss.double()
        self._parallel.add_up(self._buckets(self._parallel))
        return self._parallel.world.sum_(whole)

    def _buckets(self, parallel: DataParallel) -> GradientBuckets:
        """Returns what adds up the gradients of all that is trained at this step."""
        groups = self.optimizer.param_groups
        return parallel.buckets([p for group in groups for p in group["params"] if p.requires_grad])

    def _agree_to_stop(self) -> None:
        """Ends training in all processes after the same step, if one of them is asked to."""
        if self._parallel is not None and self.past.stopped is None:
            self.past.stopped = self._parallel.agreed(self._asked)

    def _count(self, batch: Batch) -> float:
        """Says how much a batch counts: 1 for a loss that sums, else what its mean divides by.

        That is the number of samples, unless the loss knows better: by ``count(target)``, the tokens that are
        not padding, say.
        """
        if self._sums:
            return 1.0
        return float(self.loss.count(batch[-1])) if hasattr(self.loss, "count") else samples(batch)

    @property
    def _dtype(self) -> torch.dtype:
        """The type that floating point numbers in arrays take: that of the model's."""
        return next(
            (p.dtype for p in self.model.parameters() if p.is_floating_point()), torch.get_default_dtype()
        )

    def _split(self, data: tuple[Any, ...], validation: Any, share: float) -> tuple[Any, Any]:
        """Divides data into those to learn from and those to validate with.

        Raises:
            ValueError: if there are validation data already, or the data are no tensors.
        """
        if validation is not None:
            raise ValueError("fit: expected either validation or validation_split, got both")
        tensors = as_tensors(data, self._dtype)
        if tensors is None or len(tensors) < 2:
            raise ValueError(
                "fit: validation_split divides tensors and arrays, inputs and target; of other data set some "
                "aside and give them as validation="
            )
        parts = train_test_split(*tensors, test_size=share, seed=self.seed)
        return (parts[::2],), parts[1::2]

    def _held_out(self, validation: Any) -> Any:
        """Returns validation data as an iterable of batches."""
        return as_batches((validation,), _EVALUATION_BATCH, dtype=self._dtype)

    def _validate(self) -> bool:
        """Evaluates the validation data, unless this step has seen it done; says whether there are any."""
        if self.validation is None:
            return False
        if self.history.validation.get("step", [-1])[-1] != self.step:
            results = self._evaluated()
            numbers = {f"val_{name}": value for name, value in results.items()}
            epoch = self.history["epoch"][-1] if len(self.history) else 0
            self.history.record_validation(step=self.step, epoch=epoch, **numbers)
            self._step_schedule(results["loss"])
            self._call("on_validation_end")
        return True

    def _evaluated(self) -> dict[str, float]:
        """Returns the numbers of a validation; the first process finds them, the others wait."""

        def found() -> dict[str, float]:
            with _position_kept_on_error(self.validation):
                results = self.evaluate(self.validation)
            return {name: value for name, value in results.items() if isinstance(value, float)}

        return found() if self._parallel is None else self._parallel.from_first(found)

    @property
    def done(self) -> bool:
        """Says whether enough steps or epochs are made, or :meth:`stop` was called."""
        if self.past.stopped is not None:
            return True
        if self.total_epochs is not None:
            return self.epoch >= self.total_epochs
        return self.total_steps is not None and self.step >= self.total_steps

    def stop(self, reason: str) -> None:
        """Ends training after the step at hand, in all processes; for callbacks.

        Where it ends there anyway, or somebody has said so before, this is without effect.
        """
        if self.done and reason != INTERRUPTED:
            return
        if self._parallel is None:
            self.past.stopped = reason
        else:
            self._asked = reason

    def once_begun(self, write: Callable[[], None]) -> None:
        """Writes into ``out`` when the checkpoint there is this training's; for callbacks.

        That is at once; at a training's first step it is right after its checkpoint is written, so
        that ``out`` never holds an earlier training's checkpoint beside files of this one.
        """
        if self.out is None or self._saved_at is not None:
            write()
        else:
            self._waiting.append(write)

    def save_after_step(self, path: str | Path) -> None:
        """Saves to ``path`` when every callback has been told of the step at hand; for callbacks.

        Before that, some of them would be saved with the memory of the step before, and a training resumed
        from there would go on without this step's.
        """
        self._to_save.append(path)

    def _save_what_waits(self) -> None:
        """Saves to where callbacks have asked for it."""
        paths, self._to_save = self._to_save, []
        for path in paths:
            self.once_begun(partial(self.save, path))

    @contextmanager
    def _in_training(self) -> Iterator[None]:
        """Makes model, random numbers and signals ready for training; puts them back, also after an error."""
        input_grad = self.model.input_grad
        display = None
        if self.progress and leads():
            from ds_core.training.progress import ProgressDisplay  # rich is imported by what is shown

            display = ProgressDisplay()
        listeners = [*self.callbacks, *([display] if display else [])]
        self._listeners = [callback for callback in listeners if leads() or not callback.writes]
        same = self._products == table_in_force()
        with (
            kept_modes(self.model, self.loss),
            self._seeded(),
            lent_generator(self._generator, self.model, self.loss),
            nullcontext() if same else use_table(self._products),
            interruptible(lambda: self.stop(INTERRUPTED)),
        ):
            self._random = None
            begin_training(self.model, self.loss)
            self.model.requires_input_grad_(False)  # data need no gradient
            try:
                self._parallel, self._asked = self._joined(), None
                yield
            except ProcessLost as error:
                raise ProcessLost(f"{error}.{self._says_left()}") from error
            finally:
                self._parallel = None
                self._random = random_state(world=_is_main_thread(), **self._sources)
                self.model.requires_input_grad_(input_grad)
                if display is not None:
                    display.close()

    def _joined(self) -> DataParallel | None:
        """Joins the other processes, if there are any."""
        others = world()
        if others is None:
            return None
        assert self._data is not None
        return DataParallel(others, (self.model, self.loss), self._data, self.step)

    @contextmanager
    def _seeded(self) -> Iterator[None]:
        """Seeds the trainer's generator; in the main thread also torch's global one, put back at the end."""
        self._generator.manual_seed(self.seed)
        if not _is_main_thread():
            yield
            return
        there = [] if self.device.type == "cpu" else [self.device]
        with torch.random.fork_rng(there, device_type=self.device.type if there else "cuda"):
            torch.manual_seed(self.seed)
            yield

    @property
    def _sources(self) -> dict[str, Module | torch.Generator]:
        """All that draws random numbers in a training."""
        return {"trainer": self._generator, "model": self.model, "loss": self.loss}

    def _call(self, moment: str) -> None:
        """Tells every callback that a moment has come; Ctrl-C raised there counts like any other."""
        for callback in self._listeners:
            try:
                getattr(callback, moment)(self)
            except KeyboardInterrupt:
                if self.past.stopped == INTERRUPTED:
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

    def _check_finite(self, step: _Step, what: str, value: float, batch: Batch | None = None) -> float:
        """Checks that a number is finite.

        Raises:
            FloatingPointError: says where training was, what may help and what is left.
        """
        if math.isfinite(value):
            return value
        if batch is not None and not all_finite(batch):
            advice = "The batch itself holds NaN or infinity: look at the data."
        elif batch is not None and not self._count(batch):
            advice = f"{self._says_ignored()} Leave such batches out, or accumulate them with others."
        else:
            advice = f"Try a smaller learning rate (such as {step.lr / 10:.2g}), {self._remedies}."
            if self.precision == "fp16":
                advice += " float16 ends at 65504: precision='bf16' goes as far as float32."
        advice += self._says_left()
        where = f"step {step.step}, epoch {step.epoch}"
        raise FloatingPointError(f"{where}: {what} is {value} at learning rate {step.lr:.3g}. {advice}")

    def _says_left(self) -> str:
        """Says which checkpoint is there, if there is one."""
        if self._saved_at is None:
            return ""
        of_step = f" of step {self._saved_at[0]}" if leads() else ""  # others did not see it written
        return f" The checkpoint{of_step} is untouched: {self.checkpoint_path}"

    def _says_ignored(self) -> str:
        return (
            f"Every target is ignored by {self.loss.label()}: it has no mean loss, and nothing to learn from."
        )

    def _farewell(self) -> str:
        """Says why training ended early, and how to go on."""
        if self.history.stopped != INTERRUPTED:
            return f"Stopped after step {self.step}: {self.history.stopped}."
        said = f"Interrupted after step {self.step}."
        if self._saved_at is None:
            advice = "; Trainer(..., out=FOLDER) writes them" if self.out is None else ""
            return f"{said} No checkpoint was written{advice}."
        step, path = self._saved_at[0], self.checkpoint_path
        return f"{said} The checkpoint of step {step} is {path}; fit(..., resume=True) goes on from it."

    # ---- using the model -----------------------------------------------------------------------------

    def evaluate(self, *data: Any, batch_size: int | None = _EVALUATION_BATCH) -> dict[str, Any]:
        """Measures loss and metrics, in eval mode, leaving modes and random numbers as they were.

        Args:
            data: as for :meth:`fit`, finite.
            batch_size: of tensors and samples; None for all at once.

        Returns:
            ``"loss"``, that of all samples together, and each metric by its name. However the data are cut
            into batches, the loss is the same, also if it counts classes by weight or ignores padding.

        Raises:
            ValueError, TypeError: as :meth:`fit` does.
        """
        made = as_batches(data, batch_size, dtype=self._dtype)
        if self._data is not None and made is self._data.data and has_position(made):
            made = copy.copy(made)  # training is in the midst of it, and stays there
        batches = Batches(made, _is_main_thread(), self._dtype)
        check_ends(batches.data, 1, "give some of them, in a list")
        losses, counts = [], []
        for metric in self.metrics.values():
            metric.reset()
        with alone(), self._in_evaluation():
            for (batch,) in batches.groups(1):
                *inputs, target = to_device(batch, self.device)
                outputs = self._outputs(inputs)
                losses.append(self._measured(outputs, target))
                counts.append(self._count(batch))
                for metric in self.metrics.values():
                    metric.update(outputs[0], target)
            results = {name: _plain(metric.compute()) for name, metric in self.metrics.items()}
        if not sum(counts):
            raise ValueError(f"evaluate: {self._says_ignored()}")
        values = Reading(losses).values()
        total = sum(loss * count for loss, count in zip(values, counts, strict=True) if count)
        return {"loss": total if self._sums else total / sum(counts), **results}

    def predict(self, *inputs: Any, batch_size: int | None = _EVALUATION_BATCH) -> Any:
        """Returns the model's output, in eval mode.

        Args:
            inputs: the model's inputs as tensors or arrays, each ``(samples, ...)``, or as one tuple of them;
                or a dataset or an iterable of batches as for :meth:`fit`, and finite, whose target is passed
                over.
            batch_size: how many samples at a time; None for all.

        Returns:
            The output for all samples, ``(samples, ...)``; a tuple if the model has several.

        Raises:
            ValueError: if there are no samples, or inputs differ in length.
            TypeError: if the inputs are nothing of what is said above, or the output is not.
        """
        if len(inputs) == 1:
            check_ends(inputs[0], 1, "give some of them, in a list")
        with self._in_evaluation():
            parts = [
                self._outputs(to_device(batch, self.device))
                for batch in input_batches(inputs, batch_size, self._dtype)
            ]
        if not parts:
            raise ValueError("predict: expected at least one batch, got none")
        for output in parts[0]:
            if not isinstance(output, Tensor):
                raise TypeError(
                    "predict: expected the model to return a tensor or a tuple of tensors, got "
                    + shown(output)
                )
        outputs = tuple(torch.cat(several) for several in zip(*parts, strict=True))
        return outputs if len(outputs) > 1 else outputs[0]

    def predict_proba(self, *inputs: Any, batch_size: int | None = _EVALUATION_BATCH) -> Tensor:
        """Returns probabilities: what the loss makes of the model's output before comparing it to the target.

        The loss says what, by ``probabilities(outputs)``: the softmax over the classes for CrossEntropyLoss,
        the sigmoid for BCEWithLogitsLoss.

        Args:
            inputs: as for :meth:`predict`.
            batch_size: how many samples at a time; None for all.

        Returns:
            Numbers from 0 to 1, in the shape of the output.

        Raises:
            TypeError: if the loss has no such meaning.
        """
        outputs: Tensor = self.predict(*inputs, batch_size=batch_size)
        if not hasattr(self.loss, "probabilities"):
            raise TypeError(
                f"predict_proba: outputs trained with {self.loss.label()} are not probabilities; use predict"
            )
        probabilities: Tensor = self.loss.probabilities(outputs)
        return probabilities

    @contextmanager
    def _in_evaluation(self) -> Iterator[None]:
        """Switches to eval mode, without gradients; puts all back, and random numbers too, also on error."""
        kept = kept_random_state(world=_is_main_thread(), **self._sources)
        with precision(self.precision), torch.no_grad(), kept, evaluating(self.model, self.loss):
            yield

    @property
    def _sums(self) -> bool:
        """Says whether the loss of a batch is the sum, not the mean, of those of its samples."""
        return getattr(self.loss, "reduction", "mean") == "sum"

    # ---- checkpoints ---------------------------------------------------------------------------------

    @property
    def leads(self) -> bool:
        """Says whether this process writes and shows: the only one, or the first of several."""
        return leads()

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

        Of several processes the first one does so, from which all of them can go on; the others do nothing.

        Raises:
            FloatingPointError: if weights are not finite: the previous file is worth more.
        """
        self._record()
        for name, parameter in (*self.model.named_parameters(), *self.loss.named_parameters(prefix="(loss)")):
            if not all_finite([parameter]):
                self._check_finite(self._step([]), f"the weight {name}", math.nan)
        if leads():
            save_checkpoint(path, self.state_dict())

    def load(self, path: str | Path) -> None:
        """Goes to where :meth:`save` was called.

        Raises:
            CheckpointError: if the file is missing or damaged, or belongs to another training; nothing has
                changed then.
        """
        self._load(load_checkpoint(path), path, self._data, self.validation, None)

    def state_dict(self) -> dict[str, Any]:
        """Returns weights, optimizer, schedule, history, position, random numbers and callbacks' memory.

        And ``settings``: what all this depends on.
        """
        return {
            "step": self.step,
            "epoch": self.epoch,
            "settings": self._all_settings(self._data, self.validation),
            "products": self._products,
            "model": self.model.state_dict(),
            "loss": self.loss.state_dict(),
            "trained": self._trained(),
            "frozen": {"first": self._frozen_first, "now": self._frozen()},
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "loss_scaling": None if self._scaling is None else self._scaling.state_dict(),
            "history": self.history.state_dict(),
            "data": None if self._data is None else self._data.state_dict(),
            "validation": self.validation.state_dict() if has_position(self.validation) else None,
            "callbacks": [[type(callback).__name__, callback.state_dict()] for callback in self.callbacks],
            "random": self._random or random_state(world=_is_main_thread(), **self._sources),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes everything back, all or nothing.

        Raises:
            ValueError: if a part is missing, or does not fit its counterpart here.
        """
        self._load_state(state, self._data, self.validation, None)

    def _all_settings(self, data: Batches | None, validation: Any) -> dict[str, Any]:
        """Returns all that the result depends on, except how long to train."""
        kinds = {str(p.dtype).removeprefix("torch."): None for p in self.model.parameters()}
        return {
            "settings": self.settings,
            "model": module_settings(self.model),
            "dtype": ", ".join(kinds),
            "device": self.device.type,
            "loss": module_settings(self.loss),
            **self._rules,
            "engine": self.engine,
            "precision": self.precision,
            "compile": self.compile,
            "clip_norm": self.clip_norm,
            "accumulate": self.accumulate,
            "seed": self.seed,
            "data": None if data is None else data.fingerprint,
            "validation": self._fingerprint(validation),
        }

    @property
    def _parameters(self) -> dict[str, Tensor]:
        """Returns path -> parameter of all that can be trained."""
        parts = {"model": self.model, "loss": self.loss}
        return {f"{part}.{path}": p for part, one in parts.items() for path, p in one.named_parameters()}

    def _trained(self) -> list[str]:
        """Returns the paths of the optimizer's parameters, in their order.

        Raises:
            ValueError: if one of them, added since, is of neither the model nor the loss.
        """
        paths = {id(parameter): path for path, parameter in self._parameters.items()}
        given = [p for group in self.optimizer.param_groups for p in group["params"]]
        for parameter in given:
            if id(parameter) not in paths:
                raise ValueError(
                    "Trainer: expected the optimizer's parameters to be the model's or the loss's, got one "
                    f"that is neither, {shown(parameter)}: no checkpoint could say which it is"
                )
        return [paths[id(parameter)] for parameter in given]

    def _frozen(self) -> list[str]:
        """Returns the paths of the parameters that need no gradient."""
        return [path for path, parameter in self._parameters.items() if not parameter.requires_grad]

    def _fingerprint(self, validation: Any) -> str | None:
        """Returns what tells validation data from others; they are read once."""
        if validation is not self._printed[0]:
            self._printed = validation, fingerprint_of(validation)
        return self._printed[1]

    def _load(
        self,
        state: Mapping[str, Any],
        path: str | Path | None,
        data: Batches | None,
        validation: Any,
        plan: Mapping[str, Any] | None,
    ) -> None:
        """Takes a state over, all or nothing; what does not fit is said with the name of the file."""
        try:
            self._load_state(state, data, validation, plan)
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError, ArithmeticError) as error:
            raise CheckpointError(f"{path}: does not fit this training: {error}") from error

    def _load_state(
        self,
        state: Mapping[str, Any],
        data: Batches | None,
        validation: Any,
        plan: Mapping[str, Any] | None,
    ) -> None:
        """Takes a state over, all or nothing: all is compared first, and what was changed is put back.

        Args:
            state: as :meth:`state_dict` returns it.
            data: to go on with.
            validation: to go on with.
            plan: of a schedule given by name; None for that of the latest ``fit``.
        """
        missing = [name for name in _STATE if name not in state]
        if missing:
            raise ValueError(f"the state lacks {', '.join(missing)}")
        there = dict(state["settings"])
        plan, saved = plan or self._rules["schedule"], there.get("schedule")
        if plan is None and isinstance(saved, Mapping) and saved.get("name") == self._named:
            plan = saved  # there was no fit yet
        here = {**self._all_settings(data, validation), "schedule": plan}
        for name in ("data", "validation"):
            if there[name] is None or here[name] is None:  # nothing is known of it
                there[name] = here[name] = None
        # What was named is shown alone: the rest follows from it.
        named = {"settings": there.pop("settings")}, {"settings": here.pop("settings")}
        if told := differences(*named) or differences(there, here):
            raise ValueError(f"it was made with other settings:{told}")
        frozen, frozen_here = state["frozen"], self._frozen_first if self.step else self._frozen()
        if told := differences(
            {"frozen": dict.fromkeys(frozen["first"], True)}, {"frozen": dict.fromkeys(frozen_here, True)}
        ):
            raise ValueError(f"other parameters were frozen when it began:{told}")
        if (self._scaling is None) != (state["loss_scaling"] is None):
            raise ValueError("one of the two scales its loss, the other does not")
        if has_position(validation) == (state["validation"] is None):
            raise ValueError("one of the two has validation data that know their position, the other has not")
        memories = _memories(self.callbacks, state["callbacks"])
        step, epoch, history = int(state["step"]), int(state["epoch"]), History()
        history.load_state_dict(state["history"])
        world = _is_main_thread()
        with self._undone_on_error(data, validation, [callback for callback, _ in memories]):
            if data is not None and state["data"] is not None:
                data.load_state_dict(state["data"])
            if state["validation"] is not None:
                validation.load_state_dict(state["validation"])
            self._train_and_freeze(state["trained"], frozen["now"], state["optimizer"])
            if self._named is not None and plan is not None:
                self._make_schedule(plan)
            self.optimizer.load_state_dict(state["optimizer"])
            if self.schedule is not None:
                self.schedule.load_state_dict(state["schedule"])
            if self._scaling is not None:
                self._scaling.load_state_dict(state["loss_scaling"])
            self.loss.load_state_dict(state["loss"])
            self.model.load_state_dict(state["model"])
            set_random_state(state["random"], world=world, **self._sources)
            for callback, memory in memories:
                callback.load_state_dict(memory)
            with use_table(state["products"]):  # that there is such a one
                pass
        self._begin(history, step, epoch)
        self._products, self._random, self._frozen_first = state["products"], None, frozen["first"]

    def _train_and_freeze(
        self, trained: Sequence[str], frozen: Sequence[str], groups: Mapping[str, Any]
    ) -> None:
        """Gives the optimizer the parameters of a checkpoint, and freezes and thaws: callbacks may have.

        Args:
            trained: paths of the optimizer's parameters.
            frozen: paths of those that need no gradient.
            groups: the optimizer's state, which says how they are grouped.

        Raises:
            ValueError: if the model has not these parameters, or the optimizer has others to begin with.
        """
        parameters = self._parameters
        if unknown := [path for path in (*trained, *frozen) if path not in parameters]:
            raise ValueError(f"expected a parameter {unknown[0]}, got none")
        self.optimizer.regroup(groups, [parameters[path] for path in trained])
        if told := differences({"trained": trained}, {"trained": self._trained()}):
            raise ValueError(f"it was made with other parameters in the optimizer:{told}")
        for path, parameter in parameters.items():
            parameter.requires_grad_(path not in frozen)

    @contextmanager
    def _undone_on_error(
        self, data: Batches | None, validation: Any, callbacks: Sequence[Callback]
    ) -> Iterator[None]:
        """Puts all that a checkpoint changes back where it was, if the block ends with an error."""
        places = [one for one in (data, validation) if has_position(one)]
        owners: list[Any] = [*places, *filter(None, (self.schedule, self._scaling)), *callbacks]
        states = [copy.deepcopy(owner.state_dict()) for owner in owners]
        schedule, rule = self.schedule, self._rules["schedule"]
        trained, frozen, grouped = self._trained(), self._frozen(), self.optimizer.state_dict()
        groups, optimizer_state = [dict(g) for g in self.optimizer.param_groups], self.optimizer.state
        weights = [
            {name: tensor.clone() for name, tensor in module.state_dict().items()}
            for module in (self.model, self.loss)
        ]
        random = random_state(world=_is_main_thread(), **self._sources)
        try:
            yield
        except BaseException:
            for owner, state in zip(owners, states, strict=True):
                owner.load_state_dict(state)
            self.schedule, self._rules["schedule"] = schedule, rule
            self._train_and_freeze(trained, frozen, grouped)
            self.optimizer.state = optimizer_state
            for group, options in zip(self.optimizer.param_groups, groups, strict=True):
                group.clear()
                group.update(options)
            for module, state in zip((self.model, self.loss), weights, strict=True):
                module.load_state_dict(state)
            set_random_state(random, world=_is_main_thread(), **self._sources)
            raise

    def _save_if_wanted(self) -> None:
        """Writes the checkpoint in ``out``, unless there is no such folder or it is of this very step."""
        if self.out is not None and self._saved_at != (self.step, self.epoch):
            self.save(self.checkpoint_path)
            self._saved_at = (self.step, self.epoch)
            waiting, self._waiting = self._waiting, []
            for write in waiting:
                write()


@dataclass(eq=False)
class _Step:
    """A step that was made, or is under way; the device may still be computing its numbers."""

    step: int
    epoch: int
    lr: float
    reading: Reading
    look: Look | None  # checks what was read, and gives it names

    @cached_property
    def numbers(self) -> dict[str, float]:
        """What is recorded of it."""
        return {} if self.look is None else self.look(self, self.reading.values())


Look = Callable[[_Step, list[float]], dict[str, float]]


# What a checkpoint holds.
_STATE = (
    *("step", "epoch", "settings", "products", "model", "loss", "trained", "frozen", "optimizer"),
    *("schedule", "loss_scaling", "history", "data", "validation", "callbacks", "random"),
)


def _memories(callbacks: Sequence[Callback], saved: Sequence[Any]) -> list[tuple[Callback, Any]]:
    """Finds each callback's saved state: the first of a class gets the first of that class, and so on."""
    left = [(name, memory) for name, memory in saved]
    found = []
    for callback in callbacks:
        place = next((i for i, (name, _) in enumerate(left) if name == type(callback).__name__), None)
        if place is not None:
            found.append((callback, left.pop(place)[1]))
    return found


@contextmanager
def _position_kept_on_error(data: Any) -> Iterator[None]:
    """Puts data back where they were if the block ends with an error: half a validation never happened."""
    before = copy.deepcopy(data.state_dict()) if has_position(data) else None
    try:
        yield
    except BaseException:
        if before is not None:
            data.load_state_dict(before)
        raise


def _is_main_thread() -> bool:
    """Says whether the global random generators are this thread's to seed and to put back."""
    return threading.current_thread() is threading.main_thread()


def _plain(value: Any) -> Any:
    """Turns a tensor with one number into that number."""
    if isinstance(value, Tensor) and value.numel() == 1:
        return float(value)
    return float(value) if isinstance(value, (int, float)) else value


def _given(**options: Any) -> dict[str, Any]:
    """Returns the options that are not None."""
    return {name: value for name, value in options.items() if value is not None}
