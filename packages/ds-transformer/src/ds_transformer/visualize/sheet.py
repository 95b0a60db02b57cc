"""What the pictures share. Matplotlib is an extra: it is imported when a picture is wanted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds_core.training.plot import picture
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, LINE = "#30343b", "#6b717b", "#d5d8dd"
SEEN, HIDDEN = "#2a6fbb", "#eceef1"
# Scales that the colour-blind can read: white is 0, blue more; orange less than 0, purple more.
FROM_ZERO, BOTH_SIDES, IN_ORDER = "Blues", "PuOr", "viridis"
_DPI = 130


def new(title: str, width: float, height: float) -> Figure:
    """Makes a figure with a title, so many inches wide and high."""
    try:
        figure = picture(figsize=(width, height), dpi=_DPI, layout="constrained", facecolor="white")
    except ImportError as error:
        raise ImportError("a picture needs matplotlib: pip install 'ds-core[plot]'") from error
    if title:
        figure.suptitle(title, x=0.01, ha="left", color=INK, fontsize=12, fontweight="bold")
    return figure


def write(figure: Figure, path: str | Path | None) -> Figure:
    """Writes a figure, if there is a path, and returns it."""
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    return figure


def dress(axes: Axes, title: str = "", across: str = "", down: str = "") -> None:
    """Gives a panel its title and labels, and takes away what says nothing."""
    axes.set_title(title, fontsize=9.5, color=INK, loc="left", pad=6)
    axes.set_xlabel(across, fontsize=8.5, color=SOFT)
    axes.set_ylabel(down, fontsize=8.5, color=SOFT)
    axes.tick_params(labelsize=8, colors=SOFT, length=2, color=LINE)
    for spine in axes.spines.values():
        spine.set(color=LINE, linewidth=0.8)


def shades(axes: Axes, values: Tensor, scale: str, low: float, high: float, **options: Any) -> Any:
    """Shows a matrix as shades between two ends."""
    return axes.imshow(
        values.detach().cpu().double().tolist(),
        cmap=scale,
        vmin=low,
        vmax=high,
        interpolation="nearest",
        **options,
    )


def explain(figure: Any, drawn: Any, panels: Any, label: str = "", aspect: float = 28.0) -> None:
    """Explains the shades in a bar beside the panels, so many times as high as wide."""
    bar = figure.colorbar(drawn, ax=panels, pad=0.02, aspect=aspect, shrink=0.9)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7.5, colors=SOFT, length=2, color=LINE)
    bar.set_label(label, fontsize=8.5, color=SOFT)
