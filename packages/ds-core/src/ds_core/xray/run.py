"""xray: runs one batch forward and backward and writes down what every layer did."""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from typing import Any

import torch
from torch import Tensor

from ds_core.activations import Activation
from ds_core.engines import engine
from ds_core.losses import CrossEntropyLoss, MSELoss
from ds_core.module import Module
from ds_core.xray.findings import find
from ds_core.xray.flops import FlopCounter
from ds_core.xray.formula import formula_of
from ds_core.xray.observe import observe, same_random_state, tensors
from ds_core.xray.report import XRay
from ds_core.xray.statistics import Statistics
from ds_core.xray.view import LayerView, ParameterView

LOSS = "(loss)"  # the path of the loss, which no attribute can have


def xray(
    module: Module,
    x: Any,
    target: Any = None,
    loss: Module | None = None,
) -> XRay:
    """Looks into a module while one batch passes through it, forward and then backward.

    Everything runs on a copy in training mode with our own backward, so the module, its gradients, buffers,
    mode and the random state stay as they are.

    Args:
        module: any module; its layers may be a reader's own.
        x: its input; a tuple for several inputs.
        target: what the loss compares the output with. None: no loss; the gradient that enters is that of
            the mean of the output's numbers, each weighted by a fixed draw from N(0, 1). (With equal weights
            it would be 0 behind a softmax or a normalisation, whose outputs have a constant sum.)
        loss: called as ``loss(output, target)``. None: CrossEntropyLoss for a target of integers (over the
            last dimension if the target has the shape of all others, else over dimension 1), MSELoss for
            one of floats, on the first output where there are several.

    Returns:
        A view to ``print``, to show in a notebook, or to write with ``to_html``; its numbers are attributes.

    Raises:
        ValueError: if a loss is given without a target.

    Example:
        >>> view = xray(model, images, labels)
        >>> print(view)
        >>> view.to_html("xray.html")
    """
    if loss is not None and target is None:
        raise ValueError(f"xray: expected a target for {loss.label()}, got None")
    model = module.copy().train()
    measure = _loss_for(target) if loss is None else loss.copy().train()
    inputs = _copied(x if isinstance(x, tuple) else (x,))
    target = _copied(target)
    recording, notes = _Recording(), []
    watched = Module() if measure is None else measure
    value: Tensor | None = None
    grads: Any = ()
    with (
        engine("manual"),
        same_random_state(module),
        observe(model, recording.forward, recording.backward) as running,
        observe(watched, recording.forward, recording.backward, path=LOSS) as loss_running,
    ):
        recording.running = running
        with FlopCounter(running, loss_running) as forward_flops:
            output = model(*inputs)
            if measure is not None:
                seen = next(tensors(output)) if loss is None else output
                if loss is None and isinstance(measure, CrossEntropyLoss) and seen.dim() > 2:
                    measure.dim = -1 if target.shape == seen.shape[:-1] else 1
                value = measure(seen, target)
        recording.returning = True
        with FlopCounter(running, loss_running) as backward_flops:
            try:
                if measure is None or value is None:
                    grads = _random_gradient(output, torch.Generator().manual_seed(0))
                else:
                    grads = measure.backward(torch.ones_like(value))
                    grads = _for_outputs(grads, output, only_first=loss is None)
                if isinstance(grads, tuple):
                    model.backward(*grads)
                else:
                    model.backward(grads)
            except NotImplementedError as error:
                notes.append(f"{error}, so the backward pass ends there.")
    entering = _statistics(list(tensors(grads)))
    layers = {
        path: recording.layer(path, forward_flops, backward_flops, entering) for path in recording.parts
    }
    for path, parent in recording.callers.items():
        layers[parent].add(layers[path])
    _add_parameters(model, layers)
    view = XRay(
        root=layers[""],
        loss=layers.get(LOSS),
        loss_value=value.item() if value is not None and value.dim() == 0 else None,
        inputs=_shapes(inputs),
        entering=_in_words(measure, value),
        notes=notes,
    )
    view.findings = find(view)
    return view


class _Recording:
    """Collects what passes, in the order in which it does; described only afterwards."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.returning = False  # whether the backward has begun
        self.parts: dict[str, Module] = {}
        self.callers: dict[str, str] = {}
        self.depths: dict[str, int] = {}
        self.calls: Counter[str] = Counter()
        self.backwards: Counter[str] = Counter()
        self.input_shapes: dict[str, list[tuple[int, ...]]] = {}
        self.output_shapes: dict[str, list[tuple[int, ...]]] = {}
        self.outputs: dict[str, list[Tensor]] = defaultdict(list)
        self.output_grads: dict[str, list[Tensor]] = defaultdict(list)
        self.input_grads: dict[str, list[Tensor]] = defaultdict(list)

    def forward(self, path: str, part: Module, inputs: tuple[Any, ...], output: Any) -> None:
        if self.returning:  # a forward repeated for the sake of its backward
            return
        if path not in self.parts:
            self.parts[path] = part
            self.depths[path] = len(self.running)
            if self.running:
                self.callers[path] = self.running[-1]
        self.calls[path] += 1
        self.input_shapes[path] = _shapes(inputs)
        self.output_shapes[path] = _shapes(output)
        # Copies, since a later layer may work in place.
        self.outputs[path] += [y.clone() for y in tensors(output)]

    def backward(self, path: str, part: Module, output_grads: tuple[Any, ...], input_grad: Any) -> None:
        if path in self.parts:
            self.backwards[path] += 1
            self.output_grads[path] += [grad.clone() for grad in tensors(output_grads)]
            self.input_grads[path] += [grad.clone() for grad in tensors(input_grad)]

    def layer(
        self, path: str, forward: FlopCounter, backward: FlopCounter, entering: Statistics | None
    ) -> LayerView:
        part = self.parts[path]
        output_grad = _statistics(self.output_grads[path])
        view = LayerView(
            path,
            part.label(),
            formula_of(part),
            self.input_shapes[path],
            self.output_shapes[path],
            calls=self.calls[path],
            backwards=self.backwards[path],
            output=_statistics(self.outputs[path]),
            output_grad=output_grad,
            input_grad=_statistics(self.input_grads[path]),
            forward_flops=forward.by_path[path],
            backward_flops=backward.by_path[path],
            depth=self.depths[path],
        )
        if output_grad and entering and entering.norm > 0 and path != LOSS:
            view.gain = output_grad.norm / entering.norm
        if isinstance(part, Activation):
            view.units, view.dead = _dead_units(self.outputs[path])
        return view


def _dead_units(outputs: list[Tensor]) -> tuple[int, int]:
    """Counts units, and those that are 0 wherever they occur.

    A unit is a channel (dimension 1) of images ``(N, C, H, W)`` and volumes, else a place in the last
    dimension.
    """
    alive: dict[int, Tensor] = {}  # by width: a layer used at several widths has different units in each
    for y in outputs:
        y = y.unsqueeze(0) if y.dim() < 2 else y.movedim(1 if y.dim() > 3 else -1, -1)
        width = y.shape[-1]
        if y.numel():
            alive[width] = alive.get(width, torch.tensor(False)) | (y.reshape(-1, width) != 0).any(0)
    return sum(alive), sum(int((~units).sum()) for units in alive.values())


def _statistics(values: list[Tensor]) -> Statistics | None:
    return Statistics.of(*values) if values else None


def _add_parameters(model: Module, layers: dict[str, LayerView]) -> None:
    """Adds to each layer its parameters; a layer never called, whose parameters others use, is added too."""
    parts = dict(model._walk())
    owners: dict[int, str] = {}
    called = [layer.path for layer in layers[""].walk()]
    for path in called + [path for path in parts if path not in layers]:
        views = []
        for name in parts[path]._parameters:
            parameter = getattr(parts[path], name)
            if parameter is None:
                continue
            tied_to = owners.setdefault(id(parameter), f"{path}.{name}" if path else name)
            views.append(
                ParameterView(
                    name,
                    tuple(parameter.shape),
                    weight=Statistics.of(parameter),
                    grad=None if parameter.grad is None else Statistics.of(parameter.grad),
                    frozen=not parameter.requires_grad,
                    tied_to=None if tied_to in (name, f"{path}.{name}") else tied_to,
                )
            )
        if path not in layers:
            if all(view.tied_to for view in views):
                continue
            above = layers[max((p for p in called if path.startswith(f"{p}.")), key=len, default="")]
            layers[path] = LayerView(
                path, parts[path].label(), formula_of(parts[path]), depth=above.depth + 1
            )
            above.add(layers[path])
        layers[path].parameters = views


def _loss_for(target: Any) -> Module | None:
    """Chooses a loss by the type of the target."""
    if target is None:
        return None
    if not isinstance(target, Tensor):
        raise TypeError(
            f"xray: expected a tensor as target, got {type(target).__name__}; give a loss that takes it"
        )
    return MSELoss() if target.is_floating_point() else CrossEntropyLoss()


def _random_gradient(output: Any, generator: torch.Generator) -> Any:
    """Draws the gradient that enters where there is no loss: N(0, 1) over the number of outputs."""
    if isinstance(output, (tuple, list)):
        return tuple(_random_gradient(part, generator) for part in output)
    if not (isinstance(output, Tensor) and output.is_floating_point()):
        return None
    return (torch.randn(output.shape, generator=generator) / max(output.numel(), 1)).to(output)


def _for_outputs(grads: Any, output: Any, only_first: bool) -> Any:
    """Shapes what a loss's backward returned into what the module's backward takes."""
    if isinstance(output, Tensor):
        return grads[0] if isinstance(grads, tuple) else grads
    if not only_first:
        return grads
    return (grads, *(torch.zeros_like(y) for y in list(tensors(output))[1:]))


def _in_words(measure: Module | None, value: Tensor | None) -> str:
    if measure is None:
        return "that of mean(y r), with r fixed draws from N(0, 1), since no target was given"
    return f"that of {measure.label()}" + (", summed" if value is not None and value.dim() else "")


def _shapes(value: Any) -> list[tuple[int, ...]]:
    return [tuple(y.shape) for y in tensors(value)]


def _copied(value: Any) -> Any:
    """Copies tensors, alone or in a tuple, so that no layer can write into the caller's."""
    if isinstance(value, tuple):
        return tuple(_copied(item) for item in value)
    return value.detach().clone() if isinstance(value, Tensor) else copy.deepcopy(value)
