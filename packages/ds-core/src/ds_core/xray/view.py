"""What an x-ray saw: plain numbers in a tree of layers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from ds_core.xray.flops import Flops
from ds_core.xray.formula import Formula
from ds_core.xray.sources import Place
from ds_core.xray.statistics import Statistics

Shapes = list[tuple[int, ...]]
Pass = Literal["forward", "backward"]


@dataclass
class ParameterView:
    """One parameter of a layer.

    Attributes:
        name: ``weight``.
        shape: its shape.
        weight: its numbers.
        grad: the numbers of its gradient; None if it has none.
        frozen: whether it is kept from training.
        tied_to: the path of the parameter it is one with, if that was listed before.
    """

    name: str
    shape: tuple[int, ...]
    weight: Statistics
    grad: Statistics | None
    frozen: bool
    tied_to: str | None

    @property
    def ratio(self) -> float | None:
        """Norm of the gradient over norm of the parameter: the share by which SGD of rate 1 moves it."""
        if self.grad is None or not self.weight.norm:
            return None
        return self.grad.norm / self.weight.norm


@dataclass
class InsideView:
    """One tensor that a line of a layer's formula made, between what the layer got and what it gave.

    Attributes:
        name: what the formula calls it: ``scores``.
        way: the pass it belongs to.
        function: the formula: ``attention``.
        code: the line.
        shape: its shape.
        numbers: of all calls.
        calls: how often the line ran.
    """

    name: str
    way: Pass
    function: str
    code: str
    shape: tuple[int, ...]
    numbers: Statistics
    calls: int


@dataclass
class LayerView:
    """One layer: what its forward made and what its backward met.

    Attributes:
        path: where it sits, ``blocks.0.norm1``; "" for the module itself, "(loss)" for the loss.
        label: ``Dense(784, 128)``.
        formula: of forward and backward, as its docstring has them.
        input_shapes: shapes of the tensors its latest forward got.
        output_shapes: shapes of those it gave.
        calls: how often its forward ran; the statistics cover all of them.
        backwards: how often its backward ran.
        output: the numbers of its outputs.
        output_grad: dL/d(output), the gradient that reaches the layer.
        input_grad: dL/d(input), the gradient it passes on.
        gain: norm of ``output_grad`` over norm of the gradient that enters the whole module.
        parameters: its own.
        forward_flops: arithmetic of its own forward, without that of the layers below it.
        backward_flops: the same for its backward.
        units: how many units an activation has, and None for other layers.
        dead: how many of them are 0 for the whole batch.
        flags: what is remarkable, a word or two each.
        children: the layers its forward called, in that order.
        name: its path as seen from the layer that called it; "" for the module itself and the loss.
        depth: how many layers it is inside of.
        inside: what the lines of its formulas made, in that order.
        source: where its class is written.
        theory: where it is derived.
    """

    path: str
    label: str
    formula: Formula
    input_shapes: Shapes = field(default_factory=list)
    output_shapes: Shapes = field(default_factory=list)
    calls: int = 0
    backwards: int = 0
    output: Statistics | None = None
    output_grad: Statistics | None = None
    input_grad: Statistics | None = None
    gain: float | None = None
    parameters: list[ParameterView] = field(default_factory=list)
    forward_flops: Flops = field(default_factory=Flops)
    backward_flops: Flops = field(default_factory=Flops)
    units: int | None = None
    dead: int | None = None
    flags: list[str] = field(default_factory=list)
    children: list[LayerView] = field(default_factory=list)
    name: str = ""
    depth: int = 0
    inside: list[InsideView] = field(default_factory=list)
    source: Place | None = None
    theory: Place | None = None

    @property
    def num_parameters(self) -> int:
        """Numbers in its own parameters, tied ones where they were listed first."""
        return sum(p.weight.count for p in self.parameters if p.tied_to is None)

    def add(self, child: LayerView) -> None:
        """Puts a layer last among the children."""
        child.name = child.path.removeprefix(self.path).removeprefix(".")
        self.children.append(child)

    def walk(self, backwards: bool = False) -> Iterator[LayerView]:
        """Yields this layer and all below it, in the order in which their forwards, or backwards, began."""
        yield self
        for child in reversed(self.children) if backwards else self.children:
            yield from child.walk(backwards)


@dataclass(frozen=True)
class Finding:
    """Something remarkable.

    Attributes:
        kind: "not finite", "exploding gradient", "vanishing gradient", "no gradient" or "dead units".
        paths: the layers concerned, in forward order.
        message: what was seen.
        advice: what it means and what usually helps.
    """

    kind: str
    paths: tuple[str, ...]
    message: str
    advice: str


@dataclass
class View:
    """What was seen of one batch on its way through a module and back.

    ``view["blocks.0.norm1"]`` is the layer at that path, ``view[""]`` the module itself.

    Attributes:
        root: the module, with the layers below it.
        loss: the loss as the last layer; None if no target was given.
        loss_value: what it came to, for a loss that gives one number.
        inputs: shapes of the batch.
        entering: what gradient entered the backward, in words.
        notes: anything else to know about the run.
        findings: what is remarkable, most serious first.
    """

    root: LayerView
    loss: LayerView | None
    loss_value: float | None
    inputs: Shapes
    entering: str
    notes: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def layers(self) -> list[LayerView]:
        """Every layer in forward order, the module itself first and the loss last."""
        return [*self.root.walk(), *([self.loss] if self.loss else [])]

    def __getitem__(self, path: str) -> LayerView:
        """Returns the layer at a path.

        Raises:
            KeyError: if no layer has it; names those there are.
        """
        for layer in self.root.walk():
            if layer.path == path:
                return layer
        raise KeyError(f"xray: no layer at {path!r}; there are {[layer.path for layer in self.root.walk()]}")

    @property
    def num_parameters(self) -> int:
        """Numbers in all parameters, tied ones once."""
        return sum(layer.num_parameters for layer in self.root.walk())

    @property
    def forward_flops(self) -> Flops:
        """Arithmetic of the whole forward, the loss included."""
        return sum((layer.forward_flops for layer in self.layers), Flops())

    @property
    def backward_flops(self) -> Flops:
        """Arithmetic of the whole backward, the loss included."""
        return sum((layer.backward_flops for layer in self.layers), Flops())
