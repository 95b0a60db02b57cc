"""xray: runs one batch forward and backward and writes down what every layer did."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import torch
from torch import Tensor

from ds_core.activations import Activation
from ds_core.module import Module
from ds_core.training.by_name import make_loss
from ds_core.xray.book import Line
from ds_core.xray.findings import find
from ds_core.xray.flops import FlopCounter
from ds_core.xray.formula import formula_of
from ds_core.xray.observe import tensors
from ds_core.xray.report import XRay
from ds_core.xray.sources import source_of, theory_of
from ds_core.xray.statistics import Statistics
from ds_core.xray.step import LOSS, take_step
from ds_core.xray.view import InsideView, LayerView, ParameterView


def xray(
    module: Module,
    x: Any,
    target: Any = None,
    loss: Module | str | None = None,
    *,
    inside: bool = True,
) -> XRay:
    """Looks into a module while one batch passes through it, forward and then backward.

    Everything runs on a copy in training mode with our own backward, so the module, its gradients, buffers,
    mode and the random state stay as they are. A part in eval mode within a module in training stays so.

    Args:
        module: any module; its layers may be a reader's own.
        x: its input; a tuple for several inputs.
        target: what the loss compares the output with. None: no loss; the gradient that enters is that of
            the mean of the output's numbers, each weighted by a fixed draw from N(0, 1). (With equal weights
            it would be 0 behind a softmax or a normalisation, whose outputs have a constant sum.)
        loss: called as ``loss(output, target)``, of several outputs as ``loss(*outputs, target)``; or its
            name, as :class:`Trainer` takes it. None: CrossEntropyLoss for a target of integers (over the last
            dimension if the target has the shape of all others, else over dimension 1), MSELoss for one of
            floats, on the first output where there are several.
        inside: whether the formulas run instead of their kernels, so that each of their lines is seen: the
            scores and weights of attention, the gates of an LSTM. False takes less memory for long sequences.

    Returns:
        A view to ``print``, to show in a notebook, or to write with ``to_html``; its numbers are attributes.

    Raises:
        ValueError: if a loss is given without a target, or no loss has the name.
        TypeError: if ``module`` or ``loss`` is no Module, or a target without a loss is no tensor.

    Example:
        >>> view = xray(model, images, labels)
        >>> print(view)
        >>> view.to_html("xray.html")
    """
    loss = make_loss(loss) if isinstance(loss, str) else loss
    recording = _Recording()
    step = take_step(module, x, target, loss, recording, formulas=False)
    if inside:
        take_step(module, x, target, loss, lines := _Lines(), formulas=True)
    model, measure, value, notes = step.model, step.measure, step.value, step.notes
    entering = _statistics(list(tensors(step.grads)))
    layers = {
        path: recording.layer(path, step.forward_flops, step.backward_flops, entering)
        for path in recording.parts
    }
    if inside:
        for path, layer in layers.items():
            layer.inside = lines.inside(path)
    for path, parent in recording.callers.items():
        layers[parent].add(layers[path])
    _add_parameters(model, layers)
    view = XRay(
        root=layers[""],
        loss=layers.get(LOSS),
        loss_value=value.item() if value is not None and value.dim() == 0 else None,
        inputs=_shapes(step.inputs),
        entering=_in_words(measure, value),
        notes=notes,
    )
    view.findings = find(view)
    return view


class _Recording:
    """Collects what passes, in the order in which it does; described only afterwards."""

    def __init__(self) -> None:
        self.running: tuple[list[str], list[str]] = [], []
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
            model_running = self.running[0]
            self.depths[path] = len(model_running)
            if model_running:
                self.callers[path] = model_running[-1]
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

    def line(self, line: Line) -> None:
        raise AssertionError("kernels have no lines")

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
            source=source_of(type(part)),
            theory=theory_of(type(part)),
        )
        if output_grad and entering and entering.norm > 0 and path != LOSS:
            view.gain = output_grad.norm / entering.norm
        if isinstance(part, Activation):
            view.units, view.dead = _dead_units(self.outputs[path])
        return view


class _Lines:
    """Collects what the lines of formulas make."""

    def __init__(self) -> None:
        self.running: tuple[list[str], list[str]] = [], []
        self.returning = False
        self.made: dict[str, dict[tuple[str, int, str], list[Line]]] = defaultdict(dict)  # by path of layers

    def forward(self, path: str, part: Module, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    def backward(self, path: str, part: Module, output_grads: tuple[Any, ...], input_grad: Any) -> None:
        pass

    def line(self, line: Line) -> None:
        path = next((paths[-1] for paths in self.running if paths), None)
        back = line.function.endswith("_backward")
        if path is not None and back == self.returning:  # not of a forward repeated for its backward's sake
            self.made[path].setdefault((line.function, line.number, line.name), []).append(line)

    def inside(self, path: str) -> list[InsideView]:
        """Describes what the lines of one layer made."""
        return [
            InsideView(
                name,
                "backward" if function.endswith("_backward") else "forward",
                function.removesuffix("_backward"),
                lines[-1].code,
                tuple(lines[-1].value.shape),
                Statistics.of(*(line.value for line in lines)),
                len(lines),
            )
            for (function, _, name), lines in self.made[path].items()
        ]


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
            layers[path].source = source_of(type(parts[path]))
            above.add(layers[path])
        layers[path].parameters = views


def _in_words(measure: Module | None, value: Tensor | None) -> str:
    if measure is None:
        return "that of mean(y r), with r fixed draws from N(0, 1), since no target was given"
    return f"that of {measure.label()}" + (", summed" if value is not None and value.dim() else "")


def _shapes(value: Any) -> list[tuple[int, ...]]:
    return [tuple(y.shape) for y in tensors(value)]
