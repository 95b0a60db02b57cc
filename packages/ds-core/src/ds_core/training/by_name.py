"""Losses, optimizers and metrics by name: ``"cross_entropy"`` for ``CrossEntropyLoss()`` and the like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from ds_core.losses import LOSSES, Loss
from ds_core.metrics import Metric, as_metric
from ds_core.module import Module
from ds_core.optimizers import OPTIMIZERS, Optimizer

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


def make_optimizer(optimizer: Optimizer | str, model: Module, lr: float | None) -> Optimizer:
    """Returns the optimizer itself, or the one of that name over the model's trainable parameters.

    Raises:
        ValueError: if no optimizer has the name, or an optimizer comes with ``lr``.
        TypeError: if it is neither an optimizer nor a name.
    """
    if isinstance(optimizer, str):
        options = {} if lr is None else {"lr": lr}
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        return _find("optimizer", optimizer, OPTIMIZERS)(trainable, **options)
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer: expected an Optimizer or its name, got {type(optimizer).__name__}")
    if lr is not None:
        raise ValueError("lr: goes with an optimizer given by name; this one has its own")
    return optimizer


def make_metrics(chosen: Sequence[Metric | str] | Mapping[str, Metric | str]) -> dict[str, Metric]:
    """Returns name -> metric, for metrics as objects or by name; a dict gives them names of its own.

    Raises:
        ValueError: if no metric has the name, or two would be shown under one name.
    """
    if isinstance(chosen, Mapping):
        return {name: as_metric(metric) for name, metric in chosen.items()}
    metrics = [as_metric(metric) for metric in chosen]
    named = {metric.name: metric for metric in metrics}
    if len(named) < len(metrics):
        names = ", ".join(metric.name for metric in metrics)
        raise ValueError(f"metrics: expected different names, got {names}; a dict gives them others")
    return named


def _find(kind: str, name: str, known: Mapping[str, Choice]) -> Choice:
    """Looks a name up: ``"CrossEntropy"``, ``"cross_entropy"`` and ``"cross-entropy-loss"`` are one."""

    def plain(text: str) -> str:
        return text.replace("_", "").replace("-", "").lower().removesuffix("loss")

    for candidate, value in known.items():
        if plain(candidate) == plain(name):
            return value
    raise ValueError(f"{kind}: expected one of {', '.join(sorted(known))}, got {name!r}")
