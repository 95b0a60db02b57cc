"""draw_positions: what a model is told about places."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from ds_core import Module, engine
from ds_core.drawing import (
    BLUE,
    BOTH_SIDES,
    IN_ORDER,
    INK,
    LINE,
    dress,
    explain,
    new,
    shades,
    write,
)
from torch import Tensor

from ds_transformer.positions import (
    ALiBi,
    LearnedPositions,
    RelativePositionBias,
    RotaryPositions,
    Sine2DPositions,
    SinusoidalPositions,
    sinusoidal_table,
)
from ds_transformer.positions.angles import angles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_positions(module: Module, length: int = 64, *, path: str | Path | None = None) -> Figure:
    """Draws what is instructive about a way to tell positions.

    Sinusoidal and learned: the table, and how alike the vectors of any two positions are. Rotary: the hands
    that turn, and how a match fades with distance. ALiBi and T5's: the score that each head adds, over the
    distance and as a map. In two dimensions: the waves, and how alike a place is to all others.

    Args:
        module: one of :mod:`ds_transformer.positions`, trained or not.
        length: how many positions; of an image, both sides. A learned table shows no more than it has.
        path: where the picture is written (``positions.png``); None for not at all.

    Returns:
        The matplotlib figure; a notebook shows it.

    Raises:
        TypeError: if the module is of another kind.
        ValueError: if the length is smaller than 2.
        ImportError: if matplotlib is missing.
    """
    if length < 2:
        raise ValueError(f"draw_positions: expected a length of at least 2, got {length}")
    for kind, draw in _PICTURES.items():
        if isinstance(module, kind):
            with engine("manual"):  # which forgets at its end what the module saved
                return write(draw(module, length), path)
    known = ", ".join(kind.__name__ for kind in _PICTURES)
    raise TypeError(f"draw_positions: expected one of {known}, got {type(module).__name__}")


# ---- tables that are added ---------------------------------------------------------------------------


def _sinusoidal(module: SinusoidalPositions, length: int) -> Figure:
    table = sinusoidal_table(length, module.d_model, module.base, dtype=torch.float64)
    figure = new(
        f"Sinusoidal positions: {module.d_model} numbers, {module.d_model // 2} wavelengths", 12, 4.2
    )
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.15, 1.15, 1])
    _table(figure, left, table, 1.0)
    chosen = sorted({2 * (i * (module.d_model // 2) // 8) for i in range(4)})
    for place, column in enumerate(chosen):
        middle.plot((table[:, column] - 2.6 * place).tolist(), color=BLUE, linewidth=1.4)
        middle.axhline(-2.6 * place, color=LINE, linewidth=0.7, zorder=0)
    middle.set_yticks([-2.6 * i for i in range(len(chosen))], [str(column) for column in chosen])
    middle.margins(x=0)
    dress(middle, "some of its columns: clocks that slow down", "position", "column")
    _similarity(figure, right, table)
    return figure


def _learned(module: LearnedPositions, length: int) -> Figure:
    table = module.weight[:length].cpu().double()
    figure = new(
        f"Learned positions: {len(table)} of {module.max_length}, {module.d_model} numbers", 8.6, 4.2
    )
    left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
    _table(figure, left, table, float(table.abs().amax()) or 1.0)
    _similarity(figure, right, table)
    return figure


def _table(figure: Figure, axes: Axes, table: Tensor, limit: float) -> None:
    """Draws a row for every position."""
    drawn = shades(axes, table, BOTH_SIDES, -limit, limit, aspect="auto")
    dress(axes, "the table: a row is added at each position", "column", "position")
    explain(figure, drawn, axes)


def _similarity(figure: Figure, axes: Axes, table: Tensor) -> None:
    """Draws the cosine between the vectors of any two positions."""
    unit = table / table.square().sum(1, keepdim=True).sqrt().clamp(min=1e-12)
    drawn = shades(axes, unit @ unit.T, BOTH_SIDES, -1.0, 1.0)
    dress(axes, "how alike two positions are", "position", "position")
    explain(figure, drawn, axes, "cosine")


# ---- rotation ----------------------------------------------------------------------------------------


def _rotary(module: RotaryPositions, length: int) -> Figure:
    pairs = module.head_dim // 2
    chosen = sorted({0, pairs // 8, pairs // 4, pairs // 2, pairs - 1})
    shown = 9
    turned = angles(
        torch.arange(length, dtype=torch.float64), module.head_dim, module.base
    )  # (length, pairs)
    figure = new(f"Rotary positions: each of {pairs} pairs turns at a pace of its own", 11.5, 4.4)
    left, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
    for row, pair in enumerate(chosen):
        pace = float(turned[1, pair])
        for position in range(shown):
            _clock(left, position, row, position * pace)
    names = [f"pair {pair}\n{_turn(float(turned[1, pair]))}" for pair in chosen]
    left.set_yticks(range(len(chosen)), names)
    left.set_xticks(range(shown))
    left.set(xlim=(-0.55, shown - 0.45), ylim=(len(chosen) - 0.45, -0.55), aspect="equal")
    dress(left, "the same pair of numbers at positions 0, 1, 2, ...", "position", "")
    left.tick_params(length=0)
    for spine in left.spines.values():
        spine.set_visible(False)
    right.axhline(0, color=LINE, linewidth=0.8)
    right.plot(turned.cos().mean(1).tolist(), color=BLUE, linewidth=1.6)
    right.margins(x=0)
    right.grid(color=LINE, linewidth=0.5)
    dress(
        right, "how well a vector of ones matches itself, turned", "distance between query and key", "cosine"
    )
    return figure


def _clock(axes: Axes, x: float, y: float, angle: float) -> None:
    """Draws a circle, the hand where it started, and the hand turned by an angle."""
    from matplotlib.patches import Circle, Wedge

    radius = 0.4
    axes.add_patch(Circle((x, y), radius, facecolor="white", edgecolor=LINE, linewidth=0.9))
    within = math.degrees(angle) % 360
    # The axis of rows points down, so a turn that is counterclockwise on paper has a minus here.
    axes.add_patch(Wedge((x, y), radius, -within, 0, facecolor=BLUE, alpha=0.16, linewidth=0))
    axes.plot([x, x + radius], [y, y], color=LINE, linewidth=0.9)
    tip = (x + radius * math.cos(angle), y - radius * math.sin(angle))
    axes.plot([x, tip[0]], [y, tip[1]], color=BLUE, linewidth=1.8, solid_capstyle="round")


def _turn(radians: float) -> str:
    """Says how far a hand turns at each position."""
    degrees = math.degrees(radians)
    return f"{degrees:.1f}° a step" if degrees >= 0.1 else f"{degrees:.4f}° a step"


# ---- scores that are added ---------------------------------------------------------------------------


def _alibi(module: ALiBi, length: int) -> Figure:
    figure = new(f"ALiBi: {module.num_heads} heads, from near-sighted to far-sighted", 8.8, 4.2)
    left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
    bias = module(length, length).cpu().double()
    _curves(left, bias)
    _map(figure, right, bias, 0)
    return figure


def _relative(module: RelativePositionBias, length: int) -> Figure:
    figure = new(f"T5's relative positions: {module.num_buckets} buckets, {module.num_heads} heads", 12, 4.2)
    left, middle, right = figure.subplots(1, 3, width_ratios=[1, 1.25, 1])
    buckets = module.buckets(length, length)
    drawn = shades(left, buckets, IN_ORDER, 0, module.num_buckets - 1)
    dress(left, "the bucket of each query and key", "key", "query")
    explain(figure, drawn, left, "bucket")
    weight = module.relative_attention_bias.weight.cpu().double()  # (V, H)
    bias = weight[buckets.cpu()].permute(2, 0, 1)  # (H, T, S)
    _curves(middle, bias, "steps-mid")
    _map(figure, right, bias, 0)
    return figure


def _curves(axes: Axes, bias: Tensor, style: str = "default") -> None:
    """Draws what each head adds, over how far the key lies from the query."""
    from matplotlib import colormaps

    heads, length, _ = bias.shape
    behind, ahead = bias[:, -1], bias[:, 0, 1:]  # the last query looks back, the first one forward
    distance = list(range(1 - length, length))
    for head in range(heads):
        colour = colormaps[IN_ORDER](0.9 * head / max(1, heads - 1))
        values = [*behind[head].tolist(), *ahead[head].tolist()]
        named = heads <= 8 or head in (0, heads - 1)
        axes.plot(
            distance,
            values,
            color=colour,
            linewidth=1.2,
            drawstyle=style,
            label=f"head {head}" if named else None,
        )
    axes.margins(x=0)
    axes.grid(color=LINE, linewidth=0.5)
    dress(axes, "what each head adds to a score", "key position - query position", "added")
    axes.legend(fontsize=7, frameon=True, framealpha=0.85, edgecolor="none", labelcolor=INK, ncols=2)


def _map(figure: Figure, axes: Axes, bias: Tensor, head: int) -> None:
    """Draws what one head adds for every query and key."""
    limit = float(bias[head].abs().amax()) or 1.0
    drawn = shades(axes, bias[head], BOTH_SIDES, -limit, limit)
    dress(axes, f"what head {head} adds, as a map", "key", "query")
    explain(figure, drawn, axes, "added")


# ---- two dimensions ----------------------------------------------------------------------------------


def _sine2d(module: Sine2DPositions, length: int) -> Figure:
    waves = module((length, length))[0].cpu().double()  # (C, H, W)
    features = module.num_pos_feats
    figure = new(
        f"2-D sine positions: {features} numbers for the height, {features} for the width", 11.5, 4.4
    )
    left, right = figure.subfigures(1, 2, width_ratios=[1.7, 1], squeeze=False)[0]
    slower = 2 * (features // 2 // 8)
    chosen = sorted({0, 1, slower, slower + 1})  # sine and cosine of two wavelengths
    grid = left.subplots(2, len(chosen), squeeze=False)
    for start, name, panels in zip((0, features), ("height", "width"), grid, strict=True):
        for column, axes in zip(chosen, panels, strict=True):
            drawn = shades(axes, waves[start + column], BOTH_SIDES, -1.0, 1.0)
            dress(axes, f"{name}: channel {start + column}")
            axes.set_xticks([])
            axes.set_yticks([])
    explain(left, drawn, list(grid.flat))
    axes = right.subplots()
    y, x = length // 3, length // 2
    here = waves[:, y, x]
    alike = (waves * here.view(-1, 1, 1)).sum(0) / features  # every vector has the length sqrt(features)
    drawn = shades(axes, alike, IN_ORDER, float(alike.amin()), 1.0)
    axes.plot([x], [y], marker="+", markersize=10, color=INK, markeredgewidth=1.6)
    dress(axes, "how alike each place is to the cross", "column", "row")
    explain(right, drawn, axes, "cosine")
    return figure


_PICTURES: dict[type[Module], Callable[[Any, int], Figure]] = {
    SinusoidalPositions: _sinusoidal,
    LearnedPositions: _learned,
    RotaryPositions: _rotary,
    ALiBi: _alibi,
    RelativePositionBias: _relative,
    Sine2DPositions: _sine2d,
}
