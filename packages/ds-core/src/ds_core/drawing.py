"""What all pictures share. Matplotlib is an extra: it is imported when a picture is drawn."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# For what is drawn, colours that the colour-blind can tell apart; and greys for what frames it.
BLUE, RED, GREEN = "#2a6fbb", "#d1495b", "#3a8a6e"
INK, SOFT, LINE, PALE = "#30343b", "#6b717b", "#d5d8dd", "#eceef1"
# Scales of shades: white is 0, blue more; orange less than 0, purple more; from dark to light; heat.
FROM_ZERO, BOTH_SIDES, IN_ORDER, HEAT = "Blues", "PuOr", "viridis", "inferno"
# The endings of the files that :func:`write` writes.
FIGURES = frozenset({".eps", ".jpeg", ".jpg", ".pdf", ".png", ".ps", ".svg", ".tif", ".tiff", ".webp"})
# For words that are not ours: a $ in them begins no formula.
PLAIN: dict[str, Any] = {"parse_math": False}


def new(title: str, width: float, height: float, dpi: int = 130) -> Figure:
    """Makes a figure, its size in inches and its dots per inch, which a notebook shows by itself.

    Raises:
        ImportError: if matplotlib is missing; says how to install it.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "a picture needs the package matplotlib, of the extra ds-core[plot]: pip install matplotlib"
        ) from error

    class Picture(Figure):
        def _repr_png_(self) -> bytes:
            buffer = BytesIO()
            self.savefig(buffer, format="png")
            return buffer.getvalue()

    figure = Picture(figsize=(width, height), dpi=dpi, layout="constrained", facecolor="white")
    if title:
        figure.suptitle(title, x=0.01, ha="left", color=INK, fontsize=12, fontweight="bold", wrap=True)
    return figure


def check_figure(path: str | Path) -> None:
    """Checks, before what it shows is computed, that a figure can be written to a path.

    Raises:
        IsADirectoryError: if it is a folder.
        ValueError: if no format has its ending.
    """
    if Path(path).is_dir():
        raise IsADirectoryError(f"{path}: is a folder; expected the name of a picture")
    if Path(path).suffix.lower() not in FIGURES:
        known = ", ".join(sorted(FIGURES))
        raise ValueError(f"{path}: expected the name of a picture, that ends with {known}")


def write(figure: Figure, path: str | Path | None) -> Figure:
    """Saves a figure if a path is given, all or nothing, and returns it."""
    if path is not None:
        from ds_core.training.files import atomic_write  # training draws, too

        form = Path(path).suffix.removeprefix(".") or "png"
        with atomic_write(Path(path)) as temporary:
            figure.savefig(temporary, format=form)
    return figure


def dress(axes: Axes, title: str = "", across: str = "", down: str = "") -> None:
    """Gives a panel its title and labels, and takes away what says nothing."""
    axes.set_title(title, fontsize=9.5, color=INK, loc="left", pad=6)
    axes.set_xlabel(across, fontsize=8.5, color=SOFT)
    axes.set_ylabel(down, fontsize=8.5, color=SOFT)
    axes.tick_params(labelsize=8, colors=SOFT, length=2, color=LINE)
    for spine in axes.spines.values():
        spine.set(color=LINE, linewidth=0.8)


def curves(axes: Axes) -> None:
    """Dresses a panel of curves: no frame above and to the right, and thin lines across."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(SOFT)
    axes.tick_params(which="both", labelsize=9, colors=INK, length=3, color=SOFT)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)


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
    """Explains the shades in a bar beside the panels, ``aspect`` times as high as wide."""
    bar = figure.colorbar(drawn, ax=panels, pad=0.02, aspect=aspect, shrink=0.9)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7.5, colors=SOFT, length=2, color=LINE)
    bar.set_label(label, fontsize=8.5, color=SOFT)
