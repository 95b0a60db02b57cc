"""draw_mask, draw_masks: which keys each query sees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from ds_core.drawing import BLUE, INK, PALE, PLAIN, dress, new, write
from torch import Tensor

from ds_transformer.masks import causal_mask, padding_mask, prefix_mask, sliding_window_mask

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FEW = 16  # up to here every row and column has its number, and cells have gaps between them


def draw_mask(
    mask: Tensor,
    *,
    tokens: Sequence[str] | None = None,
    title: str = "",
    rows: str = "query",
    path: str | Path | None = None,
) -> Figure:
    """Draws a mask: a row for each query, a column for each key, blue where the query sees the key.

    Args:
        mask: ``(T, S)``, bool, True = hidden, as from :mod:`ds_transformer.masks`; or several, ``(B, T, S)``.
        tokens: what stands at the keys, S words; given as many queries as keys, they label both.
        title: above the picture.
        rows: what a row is: "sequence" for a padding mask.
        path: where the picture is written (``mask.png``); None for not at all.

    Returns:
        The matplotlib figure; a notebook shows it.

    Raises:
        ValueError: if the mask has another shape, or there are not S tokens.
        TypeError: if the mask is not boolean.
        ImportError: if matplotlib is missing.
    """
    if mask.dtype != torch.bool:
        raise TypeError(f"draw_mask: expected a mask of torch.bool, True = hidden, got {mask.dtype}")
    if mask.dim() not in (2, 3) or mask.numel() == 0:
        raise ValueError(
            f"draw_mask: expected a mask (T, S) or (B, T, S) that is not empty, got shape {tuple(mask.shape)}"
        )
    if tokens is not None and len(tokens) != mask.shape[-1]:
        raise ValueError(f"draw_mask: expected {mask.shape[-1]} tokens, got {len(tokens)}")
    masks = mask if mask.dim() == 3 else mask[None]
    height, width = masks.shape[1:]
    cell = max(0.06, min(0.34, 5.0 / max(height, width)))
    figure = new(title, len(masks) * max(2.4, width * cell + 1.2), max(2.0, height * cell + 1.4))
    panels = figure.subplots(1, len(masks), squeeze=False)[0]
    for number, (axes, one) in enumerate(zip(panels, masks, strict=True)):
        _cells(axes, one, f"mask {number}" if len(masks) > 1 else "", rows, tokens)
    _legend(figure)
    return write(figure, path)


def draw_masks(length: int = 8, *, path: str | Path | None = None) -> Figure:
    """Draws the masks of :mod:`ds_transformer.masks` side by side.

    Args:
        length: of the sequences, from 4 to 16.
        path: where the picture is written (``masks.png``); None for not at all.

    Returns:
        The matplotlib figure; a notebook shows it.

    Raises:
        ValueError: if the length is another one.
        ImportError: if matplotlib is missing.
    """
    if not 4 <= length <= _FEW:
        raise ValueError(f"draw_masks: expected a length from 4 to {_FEW}, got {length}")
    past, prefix, window = length // 2, (length + 1) // 3, (length + 1) // 3
    lengths = [max(1, length - i * length // 4) for i in range(4)]
    sheet = [
        (f"causal_mask({length})", "what follows a query is hidden", causal_mask(length), "query"),
        (
            f"causal_mask({length - past}, past={past})",
            f"the same after a cache of {past} keys",
            causal_mask(length - past, past=past),
            "query",
        ),
        (f"padding_mask({lengths})", "the end of each sequence", padding_mask(lengths), "sequence"),
        (
            f"prefix_mask({length}, {prefix})",
            f"the first {prefix} keys are seen by all",
            prefix_mask(length, prefix),
            "query",
        ),
        (
            f"sliding_window_mask({length}, {window})",
            f"a query sees itself and {window - 1} before it",
            sliding_window_mask(length, window),
            "query",
        ),
        (
            f"sliding_window_mask({length}, {window}, causal=False)",
            f"itself and {window - 1} on either side",
            sliding_window_mask(length, window, causal=False),
            "query",
        ),
    ]
    figure = new("Masks: who may look where", 10.5, 8.6)
    for axes, (call, meaning, mask, rows) in zip(figure.subplots(2, 3).flat, sheet, strict=True):
        _cells(axes, mask, f"{meaning}\n", rows, None)
        axes.annotate(
            call,
            (0, 1),
            xycoords="axes fraction",
            xytext=(0, 4),
            textcoords="offset points",
            fontsize=7.5,
            color=BLUE,
            family="monospace",
        )
    _legend(figure)
    return write(figure, path)


def _cells(axes: Axes, mask: Tensor, title: str, rows: str, tokens: Sequence[str] | None) -> None:
    """Draws one mask as coloured squares."""
    from matplotlib.colors import ListedColormap

    height, width = mask.shape
    axes.imshow(mask.int().tolist(), cmap=ListedColormap([BLUE, PALE]), vmin=0, vmax=1)
    dress(axes, title, "key", rows)
    axes.set_anchor("N")
    few = max(height, width) <= _FEW
    if few:
        axes.set_xticks([s - 0.5 for s in range(width + 1)], minor=True)
        axes.set_yticks([t - 0.5 for t in range(height + 1)], minor=True)
        axes.grid(which="minor", color="white", linewidth=1.6)
    axes.tick_params(which="both", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if tokens is not None:
        axes.set_xticks(range(width), tokens, rotation=50, ha="right", rotation_mode="anchor", **PLAIN)
    elif few:
        axes.set_xticks(range(width))
    if tokens is not None and height == width:
        axes.set_yticks(range(height), tokens, **PLAIN)
    elif few:
        axes.set_yticks(range(height))


def _legend(figure: Figure) -> None:
    """Says below the panels what the two colours are."""
    from matplotlib.patches import Patch

    figure.legend(
        handles=[Patch(color=BLUE, label="seen"), Patch(color=PALE, label="hidden (True)")],
        loc="outside lower left",
        ncols=2,
        frameon=False,
        fontsize=8.5,
        labelcolor=INK,
    )
