"""What a trainer takes by name: ``"cross_entropy"`` for ``CrossEntropyLoss()`` and the like."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ds_core.checks import did_you_mean, shape
from ds_core.losses import LOSSES, ClassLoss, Loss
from ds_core.metrics import Metric, as_metric
from ds_core.metrics.metric import ClassMetric
from ds_core.module import Module
from ds_core.optimizers import OPTIMIZERS, Optimizer
from ds_core.schedulers import (
    SCHEDULERS,
    CosineAnnealingLR,
    LinearLR,
    PolynomialLR,
    Scheduler,
    WarmupCosine,
)
from ds_core.training.average_weights import MovingAverage
from ds_core.training.callbacks import BestCheckpoint, Callback, CSVLog, EarlyStopping
from ds_core.training.tensorboard import TensorBoard

# For `callbacks=["early_stopping"]`.
CALLBACKS: dict[str, Callable[[], Callback]] = {
    "best_checkpoint": BestCheckpoint,
    "csv_log": CSVLog,
    "early_stopping": EarlyStopping,
    "moving_average": MovingAverage,
    "tensorboard": TensorBoard,
}

# Schedules that, by name, go over all steps of a training.
_OVER_ALL_STEPS: dict[str, Callable[[Optimizer, int], Scheduler]] = {
    "cosine": lambda optimizer, steps: CosineAnnealingLR(optimizer, T_max=steps),
    "linear": lambda optimizer, steps: LinearLR(optimizer, 1.0, 0.0, total_iters=steps),
    "polynomial": lambda optimizer, steps: PolynomialLR(optimizer, total_iters=steps),
    "warmup_cosine": lambda optimizer, steps: WarmupCosine(optimizer, max(1, steps // 20), max(2, steps)),
}

Choice = TypeVar("Choice")


def make_loss(loss: Module | str) -> Module:
    """Returns the loss itself, or the one of that name.

    Raises:
        ValueError: if no loss has the name, or it does not reduce to one number.
        TypeError: if it is neither a module nor a name.
    """
    if isinstance(loss, str):
        loss = _find("loss", loss, LOSSES)()
    if not isinstance(loss, Module):
        raise TypeError(f"loss: expected a loss module or its name, got {type(loss).__name__}")
    if isinstance(loss, Loss) and loss.reduction == "none":
        raise ValueError(f"loss: expected reduction 'mean' or 'sum', got {loss.label()}")
    return loss


def make_optimizer(optimizer: Optimizer | str, model: Module, loss: Module, lr: float | None) -> Optimizer:
    """Returns the optimizer itself, or the one of that name over what can be trained of model and loss.

    Args:
        optimizer: the optimizer, over parameters of the model and the loss, or its name.
        model: what is trained.
        loss: may have parameters to train, too.
        lr: of an optimizer given by name.

    Raises:
        ValueError: if no optimizer has the name, or nothing is to be trained; if an optimizer comes with
            ``lr``, or has parameters of something else, which would never have a gradient.
        TypeError: if it is neither an optimizer nor a name.
    """
    if isinstance(optimizer, str):
        options = {} if lr is None else {"lr": lr}
        both = {id(p): p for module in (model, loss) for p in module.parameters() if p.requires_grad}
        if not both:
            raise ValueError(
                "optimizer: expected a model with parameters to train, got none that requires a gradient"
            )
        return _find("optimizer", optimizer, OPTIMIZERS)(list(both.values()), **options)
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer: expected an Optimizer or its name, got {type(optimizer).__name__}")
    if lr is not None:
        raise ValueError("lr: goes with an optimizer given by name; this one has its own")
    known = {id(parameter) for module in (model, loss) for parameter in module.parameters()}
    given = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    strange = [shape(parameter) for parameter in given if id(parameter) not in known]
    if strange:
        raise ValueError(
            f"optimizer: expected parameters of the model, got {len(strange)} of {len(given)} that are not "
            f"its own, the first {strange[0]}; make the optimizer from the model that is trained, after its "
            "last part was put in"
        )
    return optimizer


def schedule_by_name(name: str) -> str:
    """Returns the name of a schedule as SCHEDULERS has it.

    Raises:
        ValueError: if no schedule has the name, or it needs arguments.
    """
    kind = _find("schedule", name, SCHEDULERS)
    found = next(known for known, value in SCHEDULERS.items() if value is kind)
    if found not in _OVER_ALL_STEPS:
        arguments = list(inspect.signature(kind).parameters.values())[1:]
        needed = ", ".join(f"{one.name}=..." for one in arguments if one.default is one.empty)
        if needed:
            raise ValueError(
                f"schedule: expected its arguments with {name!r}: write schedule=lambda optimizer: "
                f"{kind.__name__}(optimizer, {needed})"
            )
    return found


def planned(name: str, steps: int | None) -> dict[str, Any]:
    """Returns what a schedule given by name depends on, to make it from and to keep in checkpoints.

    Args:
        name: one of SCHEDULERS that needs no arguments.
        steps: of the whole training; None if unknown.

    Raises:
        ValueError: if the schedule goes over all steps and their number is unknown.
    """
    if name not in _OVER_ALL_STEPS:
        return {"name": name, "steps": None}
    if steps is None:
        raise ValueError(f"fit: expected steps= with schedule {name!r}: these data do not know their length")
    return {"name": name, "steps": steps}


def make_schedule(name: str, optimizer: Optimizer, steps: int | None) -> Scheduler:
    """Returns the schedule of a name.

    Args:
        name: one of SCHEDULERS that needs no arguments.
        optimizer: whose learning rate it moves, from what it was before any schedule.
        steps: over which it goes; None where it does not ask.
    """
    for group in optimizer.param_groups:
        group["lr"] = group.get("initial_lr", group["lr"])
    return SCHEDULERS[name](optimizer) if steps is None else _OVER_ALL_STEPS[name](optimizer, max(1, steps))


def make_callbacks(chosen: Sequence[Callback | str] | Callback | str) -> list[Callback]:
    """Returns callbacks, of which some may be given by name.

    Raises:
        ValueError: if no callback has the name.
    """
    callbacks: list[Any] = [chosen] if isinstance(chosen, (Callback, str)) else list(chosen)
    for place, callback in enumerate(callbacks):
        if isinstance(callback, str):
            callbacks[place] = _find("callback", callback, CALLBACKS)()
    return callbacks


def make_metrics(
    chosen: Sequence[Metric | str] | Mapping[str, Metric | str] | Metric | str, loss: Module
) -> dict[str, Metric]:
    """Returns name -> metric, for metrics as objects or by name; a dict gives them names of its own.

    Args:
        chosen: the metrics.
        loss: a metric given by name finds the classes in the loss's dimension, and ignores what it ignores.

    Raises:
        ValueError: if no metric has the name, or two would be shown under one name, or one as the loss.
    """

    def made(metric: Metric | str) -> Metric:
        found = as_metric(metric)
        if isinstance(metric, str) and isinstance(found, ClassMetric) and isinstance(loss, ClassLoss):
            found.dim, found.ignore_index = loss.dim, loss.ignore_index
        return found

    if isinstance(chosen, Mapping):
        named = {name: made(metric) for name, metric in chosen.items()}
    else:
        metrics = [made(one) for one in ([chosen] if isinstance(chosen, (Metric, str)) else chosen)]
        named = {metric.name: metric for metric in metrics}
        if len(named) < len(metrics):
            names = ", ".join(metric.name for metric in metrics)
            raise ValueError(f"metrics: expected different names, got {names}; a dict gives them others")
    if "loss" in named:
        raise ValueError("metrics: expected another name than 'loss', which is that of the loss itself")
    return named


def _find(kind: str, name: str, known: Mapping[str, Choice]) -> Choice:
    """Looks a name up: ``"CrossEntropy"``, ``"cross_entropy"`` and ``"cross-entropy-loss"`` are one."""

    def plain(text: str) -> str:
        return text.replace("_", "").replace("-", "").lower().removesuffix("loss").removesuffix("lr")

    for candidate, value in known.items():
        if plain(candidate) == plain(name):
            return value
    names = sorted(known)
    raise ValueError(f"{kind}: expected one of {', '.join(names)}, got {name!r}{did_you_mean(name, names)}")
