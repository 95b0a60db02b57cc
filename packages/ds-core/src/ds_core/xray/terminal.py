"""The view as two tables: the forward read downwards, then the backward, its mirror, from the bottom up."""

from __future__ import annotations

from rich import box
from rich.console import Group
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ds_core.xray.findings import thresholds
from ds_core.xray.statistics import BINS, Statistics, amount, number
from ds_core.xray.view import LayerView, View

_BLOCKS = " ▁▂▃▄▅▆▇█"


def tables(view: View) -> Group:
    """Lays out the whole view."""
    parts: list[Table | Text | Padding] = [_forward(view), _backward(view)]
    changes = _parameters(view)
    if changes.row_count:
        parts.append(changes)
    parts.append(_totals(view))
    for finding in view.findings:
        parts.append(Text.assemble((f"{finding.kind}: ", "bold red"), finding.message))
        parts.append(Padding(Text(finding.advice, "dim"), (0, 0, 0, 2)))
    if not view.findings:
        parts.append(Text("Nothing flagged.", "green"))
    parts += [Text(note, "yellow") for note in view.notes]
    parts.append(Text(thresholds(), "dim"))
    return Group(*parts)


def _forward(view: View) -> Table:
    table = _table(f"Forward: {', '.join(map(str, view.inputs))} in, read downwards", "blue")
    table.add_column("layer, formula")
    table.add_column("output y")
    _add_statistics(table)
    table.add_column("params", justify="right")
    table.add_column("FLOPs", justify="right")
    for layer in view.layers:
        table.add_row(
            _name(layer, layer.formula.short),
            ", ".join(map(str, layer.output_shapes)) if layer.calls else "not called",
            *_statistics(layer.output, "blue"),
            f"{layer.num_parameters:,}" if layer.num_parameters else "",
            amount(layer.forward_flops.total) if layer.forward_flops.total else "",
        )
    return table


def _backward(view: View) -> Table:
    table = _table(
        f"Backward: the gradient that enters is {view.entering}. The last layer "
        "comes first; gain: norm of the gradient that reaches a layer over the norm that enters",
        "dark_orange",
    )
    table.add_column("layer, its gradient")
    table.add_column("gain", justify="right")
    _add_statistics(table)
    table.add_column("FLOPs", justify="right")
    table.add_column("flags")
    for layer in [*([view.loss] if view.loss else []), *view.root.walk(backwards=True)]:
        table.add_row(
            _name(layer, layer.formula.short_backward),
            number(layer.gain),
            *_statistics(layer.output_grad, "dark_orange"),
            amount(layer.backward_flops.total) if layer.backward_flops.total else "",
            Text("\n".join(flag.removesuffix(" gradient") for flag in layer.flags), "bold red"),
        )
    return table


def _parameters(view: View) -> Table:
    table = _table("Parameters: how far the gradient would move them", "default")
    table.add_column("parameter")
    table.add_column("shape")
    table.add_column("std", justify="right")
    table.add_column("std of gradient", justify="right")
    table.add_column("|gradient| / |parameter|", justify="right")
    for layer in view.root.walk():
        for parameter in layer.parameters:
            note = f"is {parameter.tied_to}" if parameter.tied_to else "frozen" if parameter.frozen else ""
            table.add_row(
                Text(f"{layer.path}.{parameter.name}".lstrip(".")),
                str(parameter.shape),
                number(parameter.weight.std),
                Text(note or (number(parameter.grad.std) if parameter.grad else "none")),
                number(parameter.ratio),
            )
    return table


def _totals(view: View) -> Text:
    forward, backward = view.forward_flops, view.backward_flops
    text = Text(
        f"{view.num_parameters:,} parameters; FLOPs forward {amount(forward.total)} "
        f"({amount(forward.products)} in matrix products), backward {amount(backward.total)} "
        f"({amount(backward.products)})"
    )
    return text if view.loss_value is None else text.append(f"; loss {number(view.loss_value)}", "bold")


def _table(title: str, style: str) -> Table:
    return Table(
        title=escape(title),
        title_style=f"bold {style}",
        title_justify="left",
        header_style="dim",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )


def _add_statistics(table: Table) -> None:
    for header in ("mean", "std", "min", "max"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("histogram", no_wrap=True)


def _statistics(numbers: Statistics | None, style: str) -> tuple[str | Text, ...]:
    if numbers is None:
        return ("",) * 5
    values = (numbers.mean, numbers.std, numbers.min, numbers.max)
    return (*map(number, values), Text(sparkline(numbers), style))


def _name(layer: LayerView, formula: str) -> Group:
    indent = 2 * layer.depth
    title = Text.assemble(
        (f"({layer.name}) " if layer.name else "", "dim"), (layer.label, "bold"), overflow="fold"
    )
    if layer.calls > 1:
        title.append(f" x {layer.calls}", "dim")
    lines = [Padding(title, (0, 0, 0, indent))]
    if formula:
        lines.append(Padding(Text(formula, "dim italic", overflow="fold"), (0, 0, 0, indent + 2)))
    return Group(*lines)


def sparkline(numbers: Statistics, width: int = BINS // 2) -> str:
    """Draws a histogram in one line of text, heights by the square root of the counts."""
    step = BINS // width
    sums = [sum(numbers.histogram[i : i + step]) for i in range(0, BINS, step)]
    top = max(sums) or 1
    return "".join(_BLOCKS[round((n / top) ** 0.5 * 7) + 1 if n else 0] for n in sums)
