"""trace: one training step written down number by number, and a page that walks through it and back."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ds_core.engines import engine
from ds_core.module import Module, _check_module
from ds_core.optimizers import SGD
from ds_core.training.by_name import make_loss
from ds_core.training.files import write_text
from ds_core.xray.book import Line, watch_formulas
from ds_core.xray.formula import formula_of
from ds_core.xray.mathml import mathml
from ds_core.xray.observe import tensors
from ds_core.xray.page import environment, template_file
from ds_core.xray.recipe import TOLD, Node, Operands, recipe
from ds_core.xray.step import LOSS, copied_together, take_step

VERSION = 1  # of the JSON
_JSON: dict[str, Any] = {"ensure_ascii": False, "separators": (",", ":"), "allow_nan": False}
MOST = 200_000  # numbers in a trace; a page of more would be slow


def trace(
    module: Module,
    x: Any,
    target: Any,
    loss: Module | str | None = None,
    *,
    lr: float = 0.1,
    title: str | None = None,
    about: str = "",
    words: Sequence[str] = (),
) -> Trace:
    """Takes one training step with a copy of a small module, and writes down every number of it.

    Forward, backward and the update ``p = p - lr g`` run by the formulas of ``functional/``, line by line.
    The module, its gradients and the random state stay as they are.

    Args:
        module: any module.
        x: its input; a tuple for several inputs.
        target: what the loss compares the output with.
        loss: called as ``loss(output, target)``, of several outputs as ``loss(*outputs, target)``; or its
            name, as :class:`Trainer` takes it; None for one that suits the target, as :func:`xray` has it.
        lr: the rate of the update.
        title: of the page; None for the module's name.
        about: a sentence on what is seen.
        words: what stands at each position of a sequence, as ``["the", "cat"]``.

    Returns:
        The trace: ``to_html`` writes the page, ``to_json`` the numbers.

    Raises:
        ValueError: if there is no target or no sample, if no loss has the name, or the step has more than
            200,000 numbers.
        TypeError: if ``module`` or ``loss`` is no Module.

    Example:
        >>> trace(model, x, y).to_html("step.html")
    """
    if target is None:
        raise ValueError("trace: expected a target, got None: a step begins at a loss")
    if any(tensor.dim() and not tensor.numel() for tensor in tensors(x)):
        raise ValueError("trace: expected an input of at least one sample, got an empty one: it has no loss")
    _check_module(module, "trace: expected a Module")
    _check_size(module.num_parameters())  # before a large model fills the memory
    loss = make_loss(loss) if isinstance(loss, str) else loss
    seen = _Recorder()
    step = take_step(module, x, target, loss, seen, formulas=True, who="trace")
    seen.end()
    result = Trace(title or module.label().removesuffix("()"), about, list(words), seen.stops, step.notes)
    if step.value is not None and step.value.dim() == 0:
        result.loss = step.value.item()
    inputs = [tensor for tensor in tensors(step.inputs) if tensor.dim()]
    result.inputs = [(f"input {i}" if i else "input", tensor) for i, tensor in enumerate(inputs)]
    if isinstance(target, Tensor):
        result.inputs.append(("target", target.detach().clone()))
    result.lr = lr
    result.layers = {
        path: _describe(part)
        for path, part in [*step.model._walk(), *(step.measure._walk(LOSS) if step.measure else [])]
    }
    for name, parameter in step.model.named_parameters():
        if parameter.grad is not None:
            result.stops.append(_update(name, parameter, lr))
    if result.loss is not None:
        # Buffers and generators are as before: only the update tells the two apart.
        updated, measure = copied_together(module, loss)
        for parameter, moved in zip(updated.parameters(), step.model.parameters(), strict=True):
            parameter.data = moved.data
        after = take_step(updated, x, target, measure, _Recorder(), formulas=False, who="trace").value
        result.loss_after = None if after is None else after.item()
    _check_size(sum(tensor.numel() for tensor in result.numbers()))
    return result


@dataclass
class Row:
    """One tensor that a line made, and how each of its entries came about.

    Attributes:
        name: what the formula calls it.
        code: the line.
        comment: what stands behind it.
        value: the tensor.
        tree: how an entry is computed, see :mod:`ds_core.xray.recipe`.
        operands: from what.
    """

    name: str
    code: str
    comment: str
    value: Tensor
    tree: Node
    operands: Operands


@dataclass
class Stop:
    """One call of a formula, or of a layer that has none.

    Attributes:
        way: "forward", "backward" or "update".
        layer: its path.
        function: the formula's name; "" where there is none.
        rows: what its lines made.
    """

    way: str
    layer: str
    function: str
    rows: list[Row] = field(default_factory=list)


@dataclass
class Trace:
    """One training step, number by number.

    Attributes:
        title: of the page.
        about: a sentence below it.
        words: what stands at each position.
        stops: what happened, in that order.
        notes: anything else to know.
        loss: what the loss gave; None if that is not one number.
        loss_after: what it gives for the same batch after the update.
        lr: the rate of the update.
        inputs: names and tensors of the batch.
        layers: path -> label, class and formulas.
    """

    title: str
    about: str
    words: list[str]
    stops: list[Stop]
    notes: list[str]
    loss: float | None = None
    loss_after: float | None = None
    lr: float = 0.0
    inputs: list[tuple[str, Tensor]] = field(default_factory=list)
    layers: dict[str, dict[str, Any]] = field(default_factory=dict)

    def numbers(self) -> Iterable[Tensor]:
        """Yields every different tensor once."""
        return list(self._stored()[0])

    def _stored(self) -> tuple[list[Tensor], dict[int, int]]:
        """Returns the different tensors, and the number of each by its id."""
        found: dict[tuple[Any, ...], int] = {}
        kept: list[Tensor] = []
        places: dict[int, int] = {}
        given = [tensor for _, tensor in self.inputs]
        for stop in self.stops:
            for row in stop.rows:
                given += [row.value, *row.operands.values()]
        for tensor in given:
            flat = tensor.detach().cpu().contiguous()
            key = (
                flat.dtype,
                tuple(flat.shape),
                bytes(flat.reshape(-1).view(torch.uint8).tolist()) if flat.numel() else b"",
            )
            if key not in found:
                found[key] = len(kept)
                kept.append(flat)
            places[id(tensor)] = found[key]
        return kept, places

    def data(self) -> dict[str, Any]:
        """Returns the trace as JSON has it: numbers, lists and dicts."""
        kept, places = self._stored()
        paths = list(self.layers)
        return {
            "version": VERSION,
            "title": self.title,
            "about": self.about,
            "words": self.words,
            "notes": self.notes,
            "loss": None if self.loss is None else _finite(self.loss),
            "loss_after": None if self.loss_after is None else _finite(self.loss_after),
            "lr": self.lr,
            "inputs": [[name, places[id(tensor)]] for name, tensor in self.inputs],
            "layers": [{"path": path, **layer} for path, layer in self.layers.items()],
            "tensors": [{"shape": list(t.shape), "values": _written(t)} for t in kept],
            "stops": [
                {
                    "way": stop.way,
                    "layer": paths.index(stop.layer),
                    "function": stop.function,
                    "rows": [
                        {
                            "name": row.name,
                            "code": row.code,
                            "comment": row.comment,
                            "value": places[id(row.value)],
                            "tree": _plain(row.tree),
                            "operands": [[word, places[id(t)]] for word, t in row.operands.items()],
                        }
                        for row in stop.rows
                    ],
                }
                for stop in self.stops
            ],
        }

    def to_json(self, path: str | Path) -> Path:
        """Writes the trace as a JSON file; infinities and NaN are words in it.

        Args:
            path: the file to write.

        Returns:
            The path written.
        """
        write_text(path := Path(path), json.dumps(self.data(), **_JSON))
        return path

    def to_html(self, path: str | Path) -> Path:
        """Writes the page, one HTML file that needs no server and asks nothing of any host.

        Args:
            path: the file to write.

        Returns:
            The path written.

        Raises:
            ImportError: if Jinja2 is missing.
        """
        from markupsafe import Markup

        data = json.dumps(self.data(), **_JSON)
        page = (
            environment()
            .get_template("steps.html.jinja")
            .render(
                title=self.title,
                style=template_file("steps.css"),
                script=template_file("steps.js"),
                data=Markup(data.replace("<", "\\u003c")),  # nothing in it may end the element it stands in
            )
        )
        write_text(path := Path(path), page)
        return path


class _Recorder:
    """Writes down what a step does, in that order."""

    def __init__(self) -> None:
        self.running: tuple[list[str], list[str]] = [], []
        self.returning = False
        self.stops: list[Stop] = []
        self.calls: dict[int, list[tuple[Line, Row]]] = {}  # the calls at work, all of one layer
        self.path = ""
        self.touched: set[str] = set()  # layers of which something has been written down since they began
        self.last: Tensor | None = None  # what the latest layer gave

    def line(self, line: Line) -> None:
        path = next((paths[-1] for paths in self.running if paths), None)
        if path is None or line.function.endswith("_backward") != self.returning:
            return
        if path != self.path:
            self.end()
        self.path = path
        lines = self.calls.pop(line.call, [])  # put last: calls are told in the order in which they end
        self.calls[line.call] = [*lines, (line, _row(line))]

    def end(self) -> None:
        """Writes down the calls of a layer."""
        way = "backward" if self.returning else "forward"
        for lines in self.calls.values():
            self.touched.add(self.path)
            self.stops.append(Stop(way, self.path, lines[0][0].function, _rows(lines)))
        self.calls.clear()

    def forward(self, path: str, part: Module, inputs: tuple[Any, ...], output: Any) -> None:
        if not self.returning:
            self.arrive("forward", path, "x", inputs, "y", output)

    def backward(self, path: str, part: Module, output_grads: tuple[Any, ...], input_grad: Any) -> None:
        self.arrive("backward", path, "grad", output_grads, "grad_x", input_grad)

    def arrive(self, way: str, path: str, came: str, given: Any, left: str, result: Any) -> None:
        """Writes a layer down by what it got and gave, where no formula of its own has told it."""
        self.end()
        made = next(iter(tensors(result)), None)
        below = {other for other in self.touched if not path or other.startswith(f"{path}.")}
        own = path in self.touched
        self.touched -= {path}
        same = made is None or (self.last is not None and _equal(made, self.last))
        if not own and not (below and same) and made is not None:
            operands = {
                f"{came}{i}" if i else came: tensor.detach().clone()
                for i, tensor in enumerate(t for t in tensors(given) if t.dim())
            }
            row = Row(left, "", "", made.detach().clone(), ["?"], operands)
            self.stops.append(Stop(way, path, "", [row]))
        if made is not None:
            self.last = made.detach().clone()
        if path:
            self.touched.add(path)
        else:
            self.touched.clear()


def _check_size(count: int) -> None:
    if count > MOST:
        raise ValueError(
            f"trace: expected a step of at most {MOST:,} numbers, got {count:,}: take a smaller model"
        )


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.tolist() == b.tolist()


def _row(line: Line, name: str = "") -> Row:
    return Row(name or line.name, line.code, line.comment, line.value, *recipe(line))


def _rows(lines: list[tuple[Line, Row]]) -> list[Row]:
    """Describes the lines of one call: as they are, or as they are told."""
    tell = TOLD.get(lines[0][0].function)
    scope = {name: value for line, _ in lines for name, value in line.scope.items()}
    scope["saved"] = lines[0][0].scope.get("saved")
    made = {line.name: line.value for line, _ in lines}
    told = None if tell is None else tell(scope, made)
    if told is None:
        return [row for _, row in lines]
    only = lines[0][0].value if len(made) == 1 else None  # it may have another name here
    rows = []
    for name, code, tree, operands in told:
        value = made.get(name, only)
        if value is not None:
            copies = {word: tensor.detach().clone() for word, tensor in operands.items()}
            rows.append(Row(name, code, "", value, tree, copies))
    return rows


def _update(name: str, parameter: Tensor, lr: float) -> Stop:
    """Takes the last part of a step for one parameter."""
    layer, _, own = name.rpartition(".")
    stop = Stop("update", layer, "sgd")
    with (
        engine("manual", kernels=False),
        watch_formulas(lambda line: stop.rows.append(_row(line, own))),
    ):
        SGD([parameter], lr).step()
    return stop


def _describe(part: Module) -> dict[str, Any]:
    """Returns what a page says of a layer."""
    formula = formula_of(part)
    return {
        "label": part.label(),
        "kind": type(part).__name__,
        "forward": list(map(mathml, formula.forward)),
        "backward": list(map(mathml, formula.backward)),
    }


def _written(tensor: Tensor) -> list[Any]:
    """Returns numbers as JSON has them: the shortest digits that give the very same bits."""
    values = tensor.reshape(-1).tolist()
    if tensor.dtype == torch.bool:
        return [int(v) for v in values]
    if not tensor.is_floating_point() or tensor.dtype == torch.float64:
        return [_finite(v) for v in values]
    return [_shortest(v) if math.isfinite(v) else _finite(v) for v in values]


def _shortest(value: float) -> float | int:
    """Returns the float64 with the fewest digits that float32 rounds to the same number."""
    for digits in range(5, 10):
        short = float(f"{value:.{digits}g}")
        if struct.pack("f", short) == struct.pack("f", value):
            whole = short == int(short) and abs(short) < 1e6 and math.copysign(1, short) > 0  # -0.0 stays
            return int(short) if whole else short
    return value


def _plain(tree: Any) -> Any:
    """Returns a tree whose numbers JSON has."""
    if isinstance(tree, list):
        return [_plain(part) for part in tree]
    return _finite(tree) if isinstance(tree, float) else tree


def _finite(value: float | int) -> float | int | str:
    """Returns a number, or the word for one that JSON does not have."""
    return value if math.isfinite(value) else {math.inf: "inf", -math.inf: "-inf"}.get(value, "nan")
