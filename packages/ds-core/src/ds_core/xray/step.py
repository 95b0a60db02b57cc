"""One training step, watched: what xray and trace both look at."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ds_core.containers import ModuleList
from ds_core.engines import engine
from ds_core.losses import CrossEntropyLoss, MSELoss
from ds_core.losses.loss import as_tuple, measured, output_grads
from ds_core.module import Module, _check_module, begin_training, gradients_taken
from ds_core.xray.book import Line, watch_formulas
from ds_core.xray.flops import FlopCounter
from ds_core.xray.observe import observe, same_random_state, tensors

LOSS = "(loss)"  # the path of the loss, which no attribute can have


class Watcher(Protocol):
    """Is told what happens.

    Attributes:
        running: the paths of the layers at work, innermost last; of model and loss.
        returning: whether the backward has begun.
    """

    running: tuple[list[str], list[str]]
    returning: bool

    def forward(self, path: str, part: Module, inputs: tuple[Any, ...], output: Any) -> None:
        """Is called after each forward."""

    def backward(self, path: str, part: Module, output_grads: tuple[Any, ...], input_grad: Any) -> None:
        """Is called after each backward."""

    def line(self, line: Line) -> None:
        """Is called after each line of a formula."""


@dataclass
class Step:
    """What a step was made of.

    Attributes:
        model: the copy that took it; its parameters have their gradients.
        measure: the loss; None if there was no target.
        inputs: copies of the model's inputs.
        value: what the loss gave.
        grads: the gradient that entered the model's backward.
        forward_flops: arithmetic by layer.
        backward_flops: the same.
        notes: what else there is to know.
    """

    model: Module
    measure: Module | None
    inputs: tuple[Any, ...]
    value: Tensor | None
    grads: Any
    forward_flops: FlopCounter
    backward_flops: FlopCounter
    notes: list[str]


def take_step(
    module: Module,
    x: Any,
    target: Any,
    loss: Module | None,
    watcher: Watcher,
    *,
    formulas: bool,
    who: str = "xray",
) -> Step:
    """Sends one batch through copies of a module and a loss, in training mode, and back.

    Args:
        module: stays as it is, and so does the random state.
        x: its input; a tuple for several inputs.
        target: what the loss compares the output with; None for no loss.
        loss: None for one that suits the target.
        watcher: is told of every forward and backward.
        formulas: whether the formulas run instead of their kernels, and the watcher is told of their lines.
        who: asks, in errors.

    Raises:
        ValueError: if a loss is given without a target.
        TypeError: if no loss is given, and the target is no tensor; if module or loss is no Module.
    """
    _check_module(module, f"{who}: expected a Module")
    if loss is not None:
        _check_module(loss, f"{who}: expected a Module as loss")
        if target is None:
            raise ValueError(f"{who}: expected a target for {loss.label()}, got None")
    model, measure = copied_together(module, _loss_for(target, who) if loss is None else loss)
    begin_training(model, *([] if measure is None else [measure]))
    inputs = _copied(as_tuple(x))
    target, notes = _copied(target), []
    watched = Module() if measure is None else measure
    value: Tensor | None = None
    grads: Any = ()
    with (
        engine("manual", kernels=not formulas),
        same_random_state(module),
        observe(model, watcher.forward, watcher.backward) as running,
        observe(watched, watcher.forward, watcher.backward, path=LOSS, without=model) as loss_running,
        watch_formulas(watcher.line) if formulas else nullcontext(),
    ):
        watcher.running = running, loss_running
        with FlopCounter(running, loss_running) as forward_flops:
            output = model(*inputs)
            if loss is not None and measure is not None:
                value = measured(measure, as_tuple(output), target)
            elif measure is not None:
                seen = next(tensors(output))
                if isinstance(measure, CrossEntropyLoss) and seen.dim() > 2:
                    measure.dim = -1 if target.shape == seen.shape[:-1] else 1
                value = measure(seen, target)
        watcher.returning = True
        with FlopCounter(running, loss_running) as backward_flops:
            try:
                if measure is None or value is None:
                    grads = _random_gradients(model, output)
                else:
                    grads = output_grads(measure, as_tuple(output), measure.backward(torch.ones_like(value)))
                    if loss is None:
                        grads = _for_first(model, output, grads[0])
                model.backward(*grads)
            except NotImplementedError as error:
                notes.append(f"{error}, so the backward pass ends there.")
    return Step(model, measure, inputs, value, grads, forward_flops, backward_flops, notes)


def _loss_for(target: Any, who: str) -> Module | None:
    """Chooses a loss by the type of the target."""
    if target is None:
        return None
    if not isinstance(target, Tensor):
        raise TypeError(
            f"{who}: expected a tensor as target, got {type(target).__name__}; give a loss that takes it"
        )
    return MSELoss() if target.is_floating_point() else CrossEntropyLoss()


def _random_gradients(module: Module, output: Any) -> tuple[Any, ...]:
    """Draws the gradient that enters where there is no loss: N(0, 1) over the number of outputs."""
    generator = torch.Generator().manual_seed(0)

    def draw(y: Tensor) -> Tensor:
        return (torch.randn(y.shape, generator=generator) / max(y.numel(), 1)).to(y)

    return _for_outputs(module, output, draw)


def _for_first(module: Module, output: Any, grad: Tensor) -> tuple[Any, ...]:
    """Gives the first output its gradient, and all others zeros."""
    first = iter([grad])
    return _for_outputs(module, output, lambda y: next(first, torch.zeros_like(y)))


def _for_outputs(module: Module, output: Any, give: Callable[[Tensor], Any]) -> tuple[Any, ...]:
    """Gives each output its gradient; None to those that can have none, nothing to those passed over."""
    if isinstance(output, (tuple, list)):
        taken = output[: gradients_taken(module)]
        return tuple(_given(part, give) for part in taken)
    return (_given(output, give),)


def _given(output: Any, give: Callable[[Tensor], Any]) -> Any:
    if isinstance(output, (tuple, list)):
        return tuple(_given(part, give) for part in output)
    return give(output) if isinstance(output, Tensor) and output.is_floating_point() else None


def copied_together(module: Module, loss: Module | None) -> tuple[Module, Module | None]:
    """Copies a module and its loss; a parameter that the two share, the copies share, too."""
    if loss is None:
        return module.copy(), None
    model, measure = ModuleList([module, loss]).copy()
    return model, measure


def _copied(value: Any) -> Any:
    """Copies tensors, alone or in a tuple, so that no layer can write into the caller's."""
    if isinstance(value, tuple):
        return tuple(_copied(item) for item in value)
    return value.detach().clone() if isinstance(value, Tensor) else copy.deepcopy(value)
