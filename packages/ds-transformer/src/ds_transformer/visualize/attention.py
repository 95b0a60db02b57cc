"""draw_attention: where each head of each layer looks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ds_core.drawing import FROM_ZERO, INK, LINE, PLAIN, SOFT, explain, new, shades, write
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_attention(
    weights: Tensor,
    source: Sequence[str],
    target: Sequence[str] | None = None,
    *,
    title: str = "Where each head looks",
    path: str | Path | None = None,
) -> Figure:
    """Draws attention weights: a map for every head and layer, all in the same shades.

    A row of a map is a token that looks, and its weights add up to 1; a column is a token looked at. White is
    0, and the darkest blue the largest weight in the whole picture, so that any two maps can be compared.

    Args:
        weights: ``(layers, H, T, S)``, or ``(H, T, S)`` for one layer, from 0 to 1.
        source: what is looked at, S tokens.
        target: who looks, T tokens; None for the source itself.
        title: above the picture.
        path: where the picture is written (``attention.png``); None for not at all.

    Returns:
        The matplotlib figure; a notebook shows it.

    Raises:
        ValueError: if the weights have another shape, or the tokens are not as many.
        ImportError: if matplotlib is missing.
    """
    if weights.dim() not in (3, 4) or weights.numel() == 0:
        raise ValueError(
            "draw_attention: expected weights (layers, H, T, S) or (H, T, S) that are not empty, "
            f"got shape {tuple(weights.shape)}"
        )
    target = source if target is None else target
    if (len(target), len(source)) != weights.shape[-2:]:
        raise ValueError(
            f"draw_attention: expected {weights.shape[-2]} target and {weights.shape[-1]} source tokens, "
            f"got {len(target)} and {len(source)}"
        )
    several = weights.dim() == 4
    maps = (weights if several else weights[None]).detach().cpu().double()
    layers, heads, rows, columns = maps.shape
    cell = max(0.1, min(0.24, 3.2 / max(rows, columns)))  # inches for a token
    size = min(9.0, cell * 40)  # points for its name
    across = heads * (columns * cell + 0.12) + 0.085 * _longest(target) + 1.2
    down = layers * (rows * cell + 0.12) + 0.075 * _longest(source) + 0.9
    figure = new(title, max(4.0, across), max(2.4, down))
    grid = figure.subplots(layers, heads, squeeze=False, sharex=True, sharey=True)
    most = float(maps.amax()) or 1.0
    for layer, panels in enumerate(grid):
        for head, axes in enumerate(panels):
            drawn = shades(axes, maps[layer, head], FROM_ZERO, 0.0, most, aspect="auto")
            axes.tick_params(length=0, labelsize=size, colors=INK, pad=2)
            for spine in axes.spines.values():
                spine.set(color=LINE, linewidth=0.8)
            if layer == 0:
                axes.set_title(f"head {head}", fontsize=9, color=SOFT, pad=4)
            if head == heads - 1 and several:
                axes.yaxis.set_label_position("right")
                axes.set_ylabel(
                    f"layer {layer}", fontsize=9, color=SOFT, rotation=270, va="bottom", labelpad=3
                )
    grid[0, 0].set_xticks(range(columns), source, **PLAIN)
    grid[0, 0].set_yticks(range(rows), target, **PLAIN)
    for axes in grid[-1]:
        axes.tick_params(axis="x", rotation=90)
    figure.supxlabel("looked at", fontsize=9, color=SOFT)
    figure.supylabel("looking", fontsize=9, color=SOFT)
    explain(figure, drawn, list(grid.flat), f"weight, at most {most:.2g}", max(14.0, 6 * down))
    return write(figure, path)


def _longest(tokens: Sequence[str]) -> int:
    return max(map(len, tokens))
