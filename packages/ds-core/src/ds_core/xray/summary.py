"""summary: what a module is made of, layer by layer, as a table."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field
from io import StringIO
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ds_core.module import Module, _check_module
from ds_core.xray.observe import observe, same_random_state, tensors

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["LayerSummary", "Summary", "summary"]


@dataclass
class LayerSummary:
    """One line of a summary."""

    path: str  # "" for the module itself
    label: str  # Dense(784, 128)
    parameters: int  # numbers in the parameters of this very module, first owner of shared ones
    frozen: int  # how many of them are not trained
    tied: dict[str, str] = field(default_factory=dict)  # own name -> path of the parameter it shares
    shapes: list[tuple[int, ...]] = field(default_factory=list)  # of the outputs of its latest call
    calls: int = 0

    @property
    def depth(self) -> int:
        """How far below the module it sits."""
        return self.path.count(".") + 1 if self.path else 0


@dataclass
class Summary:
    """Layers, shapes and parameter counts of a module; prints as a table.

    Attributes:
        layers: one entry for every path to a module, in definition order.
        total: numbers in all parameters, tied ones once.
        trainable: those that are trained.
        frozen: those that are not.
        bytes: memory that the parameters take.
    """

    layers: list[LayerSummary]
    trainable: int
    frozen: int
    bytes: int
    traced: bool  # whether inputs were given, and so shapes are known

    @property
    def total(self) -> int:
        """Numbers in all parameters, tied ones once."""
        return self.trainable + self.frozen

    def __rich__(self) -> Table:
        """Returns the table that rich shows, with colours."""
        from rich import box  # imported by what is shown
        from rich.table import Table
        from rich.text import Text

        table = Table(
            caption=f"{self.total:,} parameters: {self.trainable:,} trainable, {self.frozen:,} frozen; "
            f"{in_bytes(self.bytes)}",
            caption_justify="left",
            box=box.SIMPLE_HEAD,
        )
        table.add_column("layer")
        if self.traced:
            table.add_column("output shape")
        table.add_column("parameters", justify="right")
        noted = any(self._notes(layer) for layer in self.layers)
        if noted:
            table.add_column("note")
        for layer in self.layers:
            cells = [Text("  " * layer.depth).append(place(layer.path), "dim").append(brief(layer.label))]
            if self.traced:
                cells.append(Text(", ".join(map(str, layer.shapes)) if layer.calls else "not called"))
            cells.append(Text(f"{layer.parameters:,}" if layer.parameters else ""))
            if noted:
                cells.append(Text("; ".join(self._notes(layer)), "yellow"))
            table.add_row(*cells)
        return table

    @staticmethod
    def _notes(layer: LayerSummary) -> list[str]:
        notes = [f"{name} is {other}" for name, other in layer.tied.items()]
        if layer.frozen:
            notes.append("frozen" if layer.frozen == layer.parameters else f"{layer.frozen:,} frozen")
        if layer.calls > 1:
            notes.append(f"called {layer.calls} times")
        return notes

    def __str__(self) -> str:
        """Returns the table as plain text, wide enough that no line of it is broken up to 160 columns."""
        from rich.console import Console

        table = self.__rich__()
        return as_text(table, max(100, Console(width=160).measure(table).maximum))

    __repr__ = __str__


def summary(module: Module, *inputs: Tensor | tuple[int, ...], dtype: torch.dtype | None = None) -> Summary:
    """Lists every layer with its output shape and its parameters.

    The forward runs on a copy in evaluation mode, so nothing about the module changes.

    Args:
        module: any module.
        inputs: what its forward takes: tensors, or shapes, for which zeros are made; none at all for a
            summary without output shapes.
        dtype: of the zeros, ``torch.long`` for token ids; None for the type of the module's parameters.

    Returns:
        What prints as a table; its numbers are attributes.

    Raises:
        TypeError: if ``module`` is no Module.

    Example:
        >>> print(summary(Sequential(Dense(784, 128), ReLU(), Dense(128, 10)), (32, 784)))
    """
    _check_module(module, "summary: expected a Module")
    layers: dict[str, LayerSummary] = {}
    owners: dict[int, str] = {}
    for path, part in module._walk():
        layer = layers[path] = LayerSummary(path, part.label(), 0, 0)
        for name in part._parameters:
            parameter = getattr(part, name)
            if parameter is None:
                continue
            full = f"{path}.{name}" if path else name
            if id(parameter) in owners:
                layer.tied[name] = owners[id(parameter)]
                continue
            owners[id(parameter)] = full
            layer.parameters += parameter.numel()
            layer.frozen += 0 if parameter.requires_grad else parameter.numel()

    def note_shapes(path: str, part: Module, inputs: tuple[Any, ...], output: Any) -> None:
        layers[path].shapes = [tuple(y.shape) for y in tensors(output)]
        layers[path].calls += 1

    if inputs:
        copy = module.copy().eval()
        with torch.no_grad(), same_random_state(module), observe(copy, note_shapes):
            copy(*(_make_input(module, value, dtype) for value in inputs))
    return Summary(
        list(layers.values()),
        trainable=module.num_parameters(trainable_only=True),
        frozen=module.num_parameters() - module.num_parameters(trainable_only=True),
        bytes=sum(p.numel() * p.element_size() for p in module.parameters()),
        traced=bool(inputs),
    )


def _make_input(module: Module, value: Any, dtype: torch.dtype | None) -> Any:
    """Turns a shape into zeros like the module's parameters; copies a tensor; leaves anything else."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if not (isinstance(value, (tuple, list)) and all(isinstance(size, int) for size in value)):
        return value
    like = next(module.parameters(), torch.empty(0))
    return torch.zeros(tuple(value), dtype=dtype or like.dtype, device=like.device)


def place(path: str) -> str:
    """Writes the last part of a path as the tree shows it: ``(linear1) ``."""
    return f"({path.rpartition('.')[2]}) " if path else ""


def brief(label: str) -> str:
    """Writes one number for several that are alike: ``kernel_size=3`` for ``kernel_size=(3, 3)``."""
    return re.sub(r"=\((\d+)(?:, \1)+\)", r"=\1", label)


def in_bytes(count: float) -> str:
    """Writes a number of bytes for people: ``1.2 MB``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def as_text(content: Any, width: int | None = None) -> str:
    """Renders something rich shows as plain text, as wide as the terminal but at least 100 columns."""
    from rich.console import Console

    width = width or max(100, shutil.get_terminal_size((120, 24)).columns)
    console = Console(file=StringIO(), width=width, force_terminal=False, force_jupyter=False, emoji=False)
    console.print(content)
    assert isinstance(console.file, StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().rstrip().splitlines())
