"""The view as one HTML page: styles inline, pictures as SVG, no script. The template escapes all words.

Jinja2 is an extra: it is imported when a page is written.
"""

from __future__ import annotations

import math
from functools import cache, partial
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from ds_core.xray.findings import thresholds
from ds_core.xray.mathml import mathml
from ds_core.xray.sources import Place
from ds_core.xray.statistics import Statistics, amount
from ds_core.xray.statistics import number as plain_number
from ds_core.xray.view import LayerView, Pass, Shapes, View

if TYPE_CHECKING:
    from jinja2 import Environment

FIGURES = 64  # the most numbers shown in figures; more are shown as shades
MATRICES = 8  # the most matrices drawn of one tensor
STEPS = 8  # of each colour


class Scales(NamedTuple):
    """The decades that the bars of both sides cover: (lowest, highest) power of ten."""

    output: tuple[int, int]
    gain: tuple[int, int]


def page(view: View, folder: Path, links: str | None = None) -> str:
    """Returns the complete document, whose links lead from a folder, or behind an address, to the sources."""
    return _render(view, folder, links, whole=True)


def fragment(view: View, folder: Path, links: str | None = None) -> str:
    """Returns the part that a notebook embeds; its styles touch nothing outside it."""
    return _render(view, folder, links, whole=False)


@cache
def environment() -> Environment:
    """Returns what fills this folder's templates, with the escaping on.

    Raises:
        ImportError: if Jinja2 is missing; says how to install it.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise ImportError(
            "a page needs the package jinja2, of the extra ds-core[xray]: pip install jinja2"
        ) from error
    made = Environment(
        loader=PackageLoader("ds_core.xray"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    made.filters["math"] = lambda formula: Markup(mathml(formula))
    for name, function in {
        **{"anchor": _anchor, "bars": _bars, "matrices": _matrices, "minus": _minus, "made": _made},
        **{"met": _met, "number": number, "shapes": _shapes, "share": _share, "work": _work},
    }.items():
        made.filters[name] = function
    return made


def template_file(name: str) -> Any:
    """Returns a file beside the templates as text that needs no escaping: a style sheet, a script."""
    from markupsafe import Markup

    return Markup(files("ds_core.xray").joinpath("templates", name).read_text(encoding="utf-8"))


def _render(view: View, folder: Path, links: str | None, whole: bool) -> str:
    def link(place: Place | None) -> str | None:
        return None if place is None else place.link(folder.resolve(), links)

    return (
        environment()
        .get_template("xray.html.jinja")
        .render(
            view=view,
            link=link,
            whole=whole,
            title=view.root.label.removesuffix("()"),
            tiles=_tiles(view),
            thresholds=thresholds(),
            style=template_file("xray.css"),
            scales=Scales(
                output=_decades([layer.output.rms for layer in view.layers if layer.output]),
                gain=_decades([1.0, *(layer.gain for layer in view.layers if layer.gain)]),
            ),
        )
    )


def _tiles(view: View) -> list[tuple[str, str]]:
    """Returns the key numbers, each with what it is."""
    forward, backward = view.forward_flops, view.backward_flops
    times = f", {backward.total / forward.total:.1f} times forward" if forward.total else ""
    tiles = [
        (f"{view.num_parameters:,}", "parameters"),
        (amount(forward.total), f"FLOPs forward, {amount(forward.products)} in matrix products"),
        (amount(backward.total), f"FLOPs backward{times}"),
    ]
    if view.loss is not None and view.loss_value is not None:
        tiles.insert(0, (number(view.loss_value), f"loss, {view.loss.label}"))
    units = sum(layer.units or 0 for layer in view.layers)
    if units:
        dead = sum(layer.dead or 0 for layer in view.layers)
        tiles.append((f"{dead} of {units:,}", "units of activations are 0 for the whole batch"))
    return tiles


Rows = list[tuple[str, Shapes, Statistics]]


def _made(layer: LayerView) -> Rows:
    return [("y", layer.output_shapes, layer.output)] if layer.output else []


def _met(layer: LayerView) -> Rows:
    rows = [
        ("dL/dy", layer.output_shapes, layer.output_grad),
        ("dL/dx", layer.input_shapes, layer.input_grad),
    ]
    return [(name, shapes, numbers) for name, shapes, numbers in rows if numbers is not None]


def _work(layer: LayerView, way: Pass) -> str:
    """Says what a pass cost, and what it left."""
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
    return "; ".join(words)


# ---- numbers and their pictures --------------------------------------------------------------------------


def number(value: float | None) -> str:
    """Writes a number as the page shows it, with a real minus sign."""
    return _minus(plain_number(value))


def _minus(value: Any) -> str:
    return str(value).replace("-", "\N{MINUS SIGN}")


class Bars(NamedTuple):
    """A histogram as one SVG path, and where 0 is; None if it is not inside."""

    path: str
    zero: str | None


def _bars(numbers: Statistics, width: int, height: int) -> Bars:
    top = max(numbers.histogram)
    if not top:
        return Bars("", None)
    step = width / len(numbers.histogram)
    path = ""
    for i, count in enumerate(numbers.histogram):
        if count:
            y = height - max(1.0, (height - 2) * math.sqrt(count / top))
            path += f"M{i * step:.1f} {height}V{y:.1f}h{step - 0.8:.1f}V{height}Z"
    zero = None
    if numbers.min < 0 < numbers.max:
        zero = f"{width * -numbers.min / (numbers.max - numbers.min):.1f}"
    return Bars(path, zero)


def _matrices(numbers: Statistics) -> dict[str, Any] | None:
    """Lays a small tensor out as matrices of its last two dimensions; None if it was not kept."""
    values = numbers.values
    if values is None or values.dim() == 0:
        return None
    values = values.double()
    values = values.unsqueeze(0) if values.dim() == 1 else values
    top = max(abs(numbers.min), abs(numbers.max)) or 1.0
    in_figures = values.numel() <= FIGURES and values.shape[-1] <= 8
    places = list(product(*map(range, values.shape[:-2])))
    draw = partial(_figures, top=top) if in_figures else partial(_shades, top=top)
    return {
        "in_figures": in_figures,
        "top": top,
        "hidden": bool((values == -math.inf).any()),
        "left_out": max(0, len(places) - MATRICES),
        "matrices": [
            {"place": str(list(place)) if place else "", **draw(values[place])} for place in places[:MATRICES]
        ],
    }


def _figures(matrix: Tensor, top: float) -> dict[str, Any]:
    return {
        "rows": [
            [{"value": v, "size": _size(v, top), "sign": "above" if v > 0 else "below"} for v in row]
            for row in matrix.tolist()
        ]
    }


def _size(value: float, top: float) -> float:
    return round(min(abs(value) / top, 1.0), 2) if math.isfinite(value) else 0


def _shades(matrix: Tensor, top: float) -> dict[str, Any]:
    """Draws a matrix as squares, those of a shade as one path."""
    lines, columns = matrix.shape
    paths: dict[tuple[str, int], str] = {}
    for i, row in enumerate(matrix.tolist()):
        for j, value in enumerate(row):
            if value == -math.inf:
                paths["soft", 1] = paths.get(("soft", 1), "") + f"M{j + 0.4} {i + 0.4}h.2v.2h-.2z"
            elif step := round(_size(value, top) * STEPS):
                shade = "forward" if value > 0 else "backward", step
                paths[shade] = paths.get(shade, "") + f"M{j} {i}h1v1h-1z"
    cell = max(2, min(14, 280 // max(lines, columns)))
    return {
        **{"lines": lines, "columns": columns, "width": cell * columns, "height": cell * lines},
        "shades": [
            {"path": path, "sign": sign, "opacity": 1 if sign == "soft" else step / STEPS}
            for (sign, step), path in paths.items()
        ],
    }


def _share(size: float, scale: tuple[int, int]) -> str | None:
    """Returns how far a bar reaches, in percent."""
    if not math.isfinite(size):
        return None
    low, high = scale
    share = (math.log10(size) - low) / (high - low) if size > 0 else 0.0
    return f"{100 * min(max(share, 0.0), 1.0):.1f}"


def _decades(sizes: list[float]) -> tuple[int, int]:
    """Returns the powers of ten around some sizes, at least three apart."""
    logs = [math.log10(size) for size in sizes if size > 0 and math.isfinite(size)] or [0.0]
    low, high = math.floor(min(logs)), math.ceil(max(logs))
    return min(low, high - 3), high


def _shapes(shapes: Shapes) -> str:
    return ", ".join(map(str, shapes))


def _anchor(path: str) -> str:
    return "layer-" + (path or "root")
