"""The view as one HTML page: forward down the left side, backward up the right, each layer in between.

Everything is in the one file: styles inline, pictures as SVG, no script. Text is escaped where it enters.
"""

from __future__ import annotations

import math
from html import escape
from importlib.resources import files
from typing import Literal, NamedTuple

from ds_core.xray.findings import thresholds
from ds_core.xray.statistics import Statistics, amount
from ds_core.xray.statistics import number as plain_number
from ds_core.xray.view import Finding, LayerView, ParameterView, Shapes, View

Pass = Literal["forward", "backward"]  # which is also the name of its colour

_LEGEND = """
Click a layer for its formulas, parameters and all numbers. Histograms reach from the least to the greatest
number, the dashed line marks 0, and heights are square roots of the counts, so that a spike at 0 does not
hide the rest. Bars, on a logarithmic scale: on the left the root mean square of the output; on the right
the norm of the gradient that reaches the layer over the norm of the gradient that enters. FLOPs are counted
in the operations really executed: 2 m n k for a matrix product, 1 for each number of an element-by-element
operation or a sum.
""".strip()


class _Scales(NamedTuple):
    """The decades that the bars of both sides cover: (lowest, highest) power of ten."""

    output: tuple[int, int]
    gain: tuple[int, int]


def page(view: View) -> str:
    """Returns the complete document."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>X-ray of {escape(_title(view))}</title>\n"
        "<style>body { margin: 0; } html { color-scheme: light dark; background: #fbfaf7; }\n"
        "@media (prefers-color-scheme: dark) { html { background: #12151b; } }</style>\n"
        f"</head>\n<body>\n{fragment(view)}\n</body>\n</html>\n"
    )


def fragment(view: View) -> str:
    """Returns the part that a notebook embeds; its styles touch nothing outside it."""
    style = files("ds_core.xray").joinpath("page.css").read_text(encoding="utf-8")
    scales = _Scales(
        output=_decades([layer.output.rms for layer in view.layers if layer.output]),
        gain=_decades([1.0, *(layer.gain for layer in view.layers if layer.gain)]),
    )
    loss = _layer(view.loss, scales) if view.loss else ""
    return (
        f'<div class="xray"><style>{style}</style><div class="wide">'
        f"{_header(view)}{_tiles(view)}{_findings(view)}"
        f'<section class="flow">{_heads(view, scales)}'
        f'<div class="rails">{_layer(view.root, scales)}{loss}</div>{_turn(view)}</section>'
        f'<p class="soft small legend">{escape(_LEGEND)} {escape(thresholds())}</p></div></div>'
    )


# ---- above the flow --------------------------------------------------------------------------------------


def _title(view: View) -> str:
    return view.root.label.removesuffix("()")


def _header(view: View) -> str:
    notes = "".join(f"<p>{escape(note)}</p>" for note in view.notes)
    return (
        f"<h2>X-ray</h2><h1>{escape(_title(view))}</h1>"
        f"<p>One batch, <code>{_shapes(view.inputs)}</code>, on its way "
        '<span class="fw">forward</span> through every layer and <span class="bw">back</span> again as a '
        "gradient, in training mode, by the hand-written <code>backward</code> of each layer. "
        f"The gradient that enters is {escape(view.entering)}.</p>{notes}"
    )


def _tiles(view: View) -> str:
    forward, backward = view.forward_flops, view.backward_flops
    times = f", {backward.total / forward.total:.1f} times forward" if forward.total else ""
    tiles = [
        (f"{view.num_parameters:,}", "parameters"),
        (amount(forward.total), f"FLOPs forward, {amount(forward.products)} in matrix products"),
        (amount(backward.total), f"FLOPs backward{times}"),
    ]
    if view.loss is not None and view.loss_value is not None:
        tiles.insert(0, (number(view.loss_value), view.loss.label))
    units = sum(layer.units or 0 for layer in view.layers)
    if units:
        dead = sum(layer.dead or 0 for layer in view.layers)
        tiles.append((f"{dead} of {units:,}", "units of activations at 0 for the whole batch"))
    cells = "".join(
        f'<div class="tile"><b>{value}</b><span class="soft small">{escape(text)}</span></div>'
        for value, text in tiles
    )
    return f'<div class="tiles">{cells}</div>'


def _findings(view: View) -> str:
    if view.findings:
        return "".join(map(_finding, view.findings))
    return f'<div class="fine"><b>Nothing flagged.</b> <span class="soft">{escape(thresholds())}</span></div>'


def _finding(finding: Finding) -> str:
    return (
        f'<div class="finding"><b>{escape(finding.kind.capitalize())}.</b> '
        f'<a href="#{_anchor(finding.paths[0])}">{escape(finding.message)}</a>'
        f'<br><span class="soft">{escape(finding.advice)}</span></div>'
    )


# ---- the flow --------------------------------------------------------------------------------------------


def _heads(view: View, scales: _Scales) -> str:
    leaves = "its gradient leaves" if view.root.input_grad else "its gradient is not wanted"
    return (
        '<div class="row heads">'
        f'<div class="fw"><b>forward &#8595;</b>output y &middot; bar {_range(scales.output)}</div>'
        f'<div class="soft">{_shapes(view.inputs)} enters,<br>{leaves}</div>'
        f'<div class="bw"><b>backward &#8593;</b>gradient dL/dy &middot; bar {_range(scales.gain)}</div>'
        "</div>"
    )


def _layer(layer: LayerView, scales: _Scales) -> str:
    """Draws one layer, and inside it those that its forward called."""
    row, anchor = _row(layer, scales), _anchor(layer.path)
    if not layer.children:
        return f'<details id="{anchor}"><summary>{row}</summary>{_panel(layer)}</details>'
    own = f'<summary><span class="opens">details</span></summary>{_panel(layer)}'
    inside = "".join(_layer(child, scales) for child in layer.children)
    return (
        f'<details id="{anchor}" class="group" open><summary>{row}</summary>'
        f'<div class="inside"><details class="own">{own}</details>{inside}</div></details>'
    )


def _row(layer: LayerView, scales: _Scales) -> str:
    size = layer.output.rms if layer.output else None
    flagged = " flagged" if any(flag.endswith("gradient") for flag in layer.flags) else ""
    return (
        '<div class="row">'
        f'<div class="side left">{_side(layer.output, size, scales.output, "forward")}</div>'
        f'<div class="middle">{_middle(layer)}</div>'
        f'<div class="side right{flagged}">'
        f"{_side(layer.output_grad, layer.gain, scales.gain, 'backward')}</div></div>"
    )


def _middle(layer: LayerView) -> str:
    where = f'<span class="soft">{escape(layer.name)}</span> ' if layer.name else ""
    times = f' <span class="soft">&times; {layer.calls}</span>' if layer.calls > 1 else ""
    lines = [f'{where}<span class="label opens">{escape(layer.label)}</span>{times}']
    if layer.calls:
        shapes = f"{_shapes(layer.input_shapes)} &#8594; {_shapes(layer.output_shapes)}"
        lines.append(f'<span class="soft small">{shapes}</span>')
    if layer.formula.short and not layer.children:
        lines.append(f"<code>{escape(layer.formula.short)}</code>")
    chips = [f'<span class="chip">{escape(flag)}</span>' for flag in layer.flags]
    if layer.dead and "dead units" not in layer.flags:
        chips.append(f'<span class="chip calm">{layer.dead} of {layer.units} at 0</span>')
    return "<br>".join(lines) + ("<br>" + "".join(chips) if chips else "")


def _side(numbers: Statistics | None, size: float | None, scale: tuple[int, int], way: Pass) -> str:
    if numbers is None:
        return '<span class="soft small">not seen</span>'
    words = (
        f"<div><div>{number(numbers.mean)} &#177; {number(numbers.std)}</div>"
        f'<div class="soft small">{number(numbers.min)} &#8230; {number(numbers.max)}</div></div>'
    )
    picture = _histogram(numbers, way)
    both = words + picture if way == "forward" else picture + words
    return f'<div class="numbers">{both}</div>{_bar(size, scale)}'


def _bar(size: float | None, scale: tuple[int, int]) -> str:
    if size is None or not math.isfinite(size):
        return ""
    low, high = scale
    share = (math.log10(size) - low) / (high - low) if size > 0 else 0.0
    width = 100 * min(max(share, 0.0), 1.0)
    return f'<div class="track" title="{number(size)}"><i style="width:{width:.1f}%"></i></div>'


def _turn(view: View) -> str:
    """Draws the foot of the flow, where forward turns into backward."""
    words = "dL/dL = 1" if view.loss else "no target: a fixed random gradient enters"
    return (
        '<div class="row"><div></div><div class="turn"></div><div></div></div>'
        f'<div class="soft small foot">forward turns into backward: {words}</div>'
    )


# ---- a layer opened --------------------------------------------------------------------------------------


def _panel(layer: LayerView) -> str:
    made = [("y", layer.output, layer.output_shapes)]
    met = [
        ("dL/dy", layer.output_grad, layer.output_shapes),
        ("dL/dx", layer.input_grad, layer.input_shapes),
    ]
    return (
        '<div class="panel"><div class="halves">'
        f'<div><h2 class="fw">forward</h2>{_formula(layer.formula.forward, "f")}'
        f"{_numbers(made, 'forward')}{_work(layer, 'forward')}</div>"
        f'<div><h2 class="bw">backward</h2>{_formula(layer.formula.backward, "b")}'
        f"{_numbers(met, 'backward')}{_work(layer, 'backward')}</div></div>"
        f"{_parameters(layer.parameters)}</div>"
    )


def _formula(clauses: list[str], kind: str) -> str:
    return f'<div class="formula {kind}">{"<br>".join(map(escape, clauses))}</div>' if clauses else ""


def _numbers(rows: list[tuple[str, Statistics | None, Shapes]], way: Pass) -> str:
    body = ""
    for name, numbers, shapes in rows:
        if numbers is not None:
            values = (numbers.mean, numbers.std, numbers.min, numbers.max)
            cells = "".join(f"<td>{number(value)}</td>" for value in values)
            body += f"<tr><td>{_named(name, shapes)}</td>{cells}<td>{_small(numbers, way)}</td></tr>"
    if not body:
        return '<p class="soft small">Nothing passed here.</p>'
    head = "<th></th><th>mean</th><th>std</th><th>min</th><th>max</th><th></th>"
    return f"<table><tr>{head}</tr>{body}</table>"


def _work(layer: LayerView, way: Pass) -> str:
    flops = layer.forward_flops if way == "forward" else layer.backward_flops
    words = []
    if flops.products:
        words.append(f"{amount(flops.products)} FLOPs in matrix products")
    if flops.elementwise:
        words.append(f"{amount(flops.elementwise)} FLOPs element by element")
    if way == "forward" and layer.units is not None:
        words.append(f"{layer.dead} of {layer.units} units at 0 for the whole batch")
    if way == "backward" and layer.gain is not None:
        words.append(f"{number(layer.gain)} times the norm that enters reaches this layer")
    return f'<p class="soft small">{"; ".join(words)}</p>'


def _parameters(parameters: list[ParameterView]) -> str:
    if not parameters:
        return ""
    rows = ""
    for p in parameters:
        gradient = f'<td colspan="4" class="soft">{escape(_why_no_gradient(p))}</td>'
        if p.grad is not None and p.tied_to is None:
            gradient = (
                f"<td>{number(p.grad.mean)}</td><td>{number(p.grad.std)}</td>"
                f"<td>{_small(p.grad, 'backward')}</td><td>{number(p.ratio)}</td>"
            )
        rows += (
            f"<tr><td>{_named(p.name, [p.shape])}</td><td>{number(p.weight.mean)}</td>"
            f"<td>{number(p.weight.std)}</td><td>{_small(p.weight, 'forward')}</td>{gradient}</tr>"
        )
    head = (
        "<th></th><th>mean</th><th>std</th><th></th>"
        '<th class="bw">gradient mean</th><th class="bw">std</th><th></th><th>|gradient| / |parameter|</th>'
    )
    return f'<h2 class="parameters">parameters</h2><table><tr>{head}</tr>{rows}</table>'


def _why_no_gradient(parameter: ParameterView) -> str:
    if parameter.tied_to is not None:
        return f"is {parameter.tied_to}"
    return "frozen" if parameter.frozen else "no gradient"


# ---- small pieces ----------------------------------------------------------------------------------------


def number(value: float | None) -> str:
    """Writes a number as the page shows it, with a real minus sign."""
    return plain_number(value).replace("-", "\N{MINUS SIGN}")


def _small(numbers: Statistics, way: Pass) -> str:
    return _histogram(numbers, way, width=72, height=24)


def _histogram(numbers: Statistics, way: Pass, width: int = 108, height: int = 34) -> str:
    """Draws a histogram as one SVG path, and a dashed line where 0 is."""
    top = max(numbers.histogram)
    if not top:
        return ""
    step = width / len(numbers.histogram)
    bars = ""
    for i, count in enumerate(numbers.histogram):
        if count:
            y = height - max(1.0, (height - 2) * math.sqrt(count / top))
            bars += f"M{i * step:.1f} {height}V{y:.1f}h{step - 0.8:.1f}V{height}Z"
    zero = ""
    if numbers.min < 0 < numbers.max:
        x = width * -numbers.min / (numbers.max - numbers.min)
        zero = f'<path d="M{x:.1f} 0V{height}" stroke="var(--soft)" stroke-dasharray="2 2"/>'
    return (
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">'
        f"<title>{numbers.count:,} numbers from {number(numbers.min)} to {number(numbers.max)}</title>"
        f'<path d="{bars}" fill="var(--{way})"/>{zero}</svg>'
    )


def _decades(sizes: list[float]) -> tuple[int, int]:
    """Returns the powers of ten around some sizes, at least three apart."""
    logs = [math.log10(size) for size in sizes if size > 0 and math.isfinite(size)] or [0.0]
    low, high = math.floor(min(logs)), math.ceil(max(logs))
    return min(low, high - 3), high


def _range(scale: tuple[int, int]) -> str:
    low, high = (f"10<sup>{power}</sup>".replace("-", "\N{MINUS SIGN}") for power in scale)
    return f"{low} &#8230; {high}"


def _named(name: str, shapes: Shapes) -> str:
    return f'<code>{escape(name)}</code> <span class="soft">{_shapes(shapes)}</span>'


def _shapes(shapes: Shapes) -> str:
    return escape(", ".join(map(str, shapes)))


def _anchor(path: str) -> str:
    return escape("layer-" + (path or "root"))
