"""Drawing a history. Matplotlib is an extra, so it is imported only when a picture is wanted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ds_core.training.history import History

# Colours that stay apart for the colour-blind, and greys for what only frames them.
_TRAIN, _VALIDATION, _METRIC = "#2a6fbb", "#d1495b", "#3a8a6e"
_INK, _GREY, _GRID = "#30343b", "#8a8f98", "#e6e8eb"
_TREND_POINTS = 500
_FEW = 40  # points are marked where there are no more than this


def picture(**options: Any) -> Figure:
    """Makes a figure that a notebook shows without the help of pyplot."""
    from matplotlib.figure import Figure

    class Picture(Figure):
        def _repr_png_(self) -> bytes:
            buffer = BytesIO()
            self.savefig(buffer, format="png")
            return buffer.getvalue()

    return Picture(**options)


def draw_history(history: History, baselines: Mapping[str, float], title: str, log: bool) -> Figure:
    """Draws the losses, below them a panel for each metric, and one for the learning rate if it changes."""
    train, validation = history.train, history.validation
    metrics = [name for name in validation if name not in ("step", "epoch", "val_loss")]
    rate_changes = len(set(train["lr"])) > 1
    heights = [4.0] + [1.6] * len(metrics) + [1.0] * rate_changes
    figure = picture(figsize=(8, sum(heights) + 0.8), dpi=150, layout="constrained", facecolor="white")
    panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]

    _draw_losses(panels[0], history, baselines, log)
    for axes, name in zip(panels[1:], metrics, strict=False):
        mark = "o" if len(validation["step"]) <= _FEW else ""
        axes.plot(validation["step"], validation[name], color=_METRIC, marker=mark, markersize=3)
        axes.set_ylabel(name.removeprefix("val_").replace("_", " "))
    if rate_changes:
        panels[-1].plot(train["step"], train["lr"], color=_INK, linewidth=1.2)
        panels[-1].set_ylabel("learning rate")
        panels[-1].set_ylim(bottom=0)
        panels[-1].yaxis.set_major_formatter(lambda rate, _: f"{rate:g}")
    panels[-1].set_xlabel("step")
    for axes in panels:
        _dress(axes)
    figure.align_ylabels()
    figure.suptitle(title, x=0.01, ha="left", color=_INK, fontsize=12, fontweight="bold")
    return figure


def _draw_losses(axes: Axes, history: History, baselines: Mapping[str, float], log: bool) -> None:
    train, validation = history.train, history.validation
    if len(history) < 50:
        axes.plot(train["step"], train["loss"], color=_TRAIN, linewidth=1.8, label="training")
    else:  # every step faintly, and the trend through it
        axes.plot(train["step"], train["loss"], color=_TRAIN, alpha=0.22, linewidth=0.7)
        places, means = _trend(train["loss"])
        steps = [train["step"][place] for place in places]
        axes.plot(steps, means, color=_TRAIN, linewidth=1.8, label="training (smoothed)")
    if "val_loss" in validation:
        last, best = validation["val_loss"][-1], min(validation["val_loss"], key=_nan_last)
        axes.plot(
            validation["step"],
            validation["val_loss"],
            color=_VALIDATION,
            linewidth=1.8,
            marker="o" if len(validation["step"]) <= _FEW else "",
            markersize=4,
            label=f"validation (last {last:.3g}, best {best:.3g})",
        )
    for name, value in baselines.items():
        axes.axhline(value, color=_GREY, linestyle=(0, (5, 3)), linewidth=1.1)
        axes.annotate(
            f"{name} {value:.3g}",
            (1, value),
            xycoords=("axes fraction", "data"),
            xytext=(-4, 3),
            textcoords="offset points",
            ha="right",
            color=_INK,
            fontsize=9,
        )
    axes.set_ylabel("loss")
    if log:
        axes.set_yscale("log")
        from matplotlib.ticker import LogFormatter

        axes.yaxis.set_major_formatter(LogFormatter())
        axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.5)))
    axes.legend(
        loc="lower left",  # of the legend, at the upper left of the panel: nothing is hidden
        bbox_to_anchor=(0, 1),
        borderpad=0,
        ncols=2,
        frameon=False,
        labelcolor=_INK,
        fontsize=9.5,
    )


def _nan_last(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _trend(values: list[float]) -> tuple[list[int], list[float]]:
    """Returns places along the run and the mean of a fiftieth of the run on either side of each."""
    count = len(values)
    places = [*range(0, count - 1, max(1, count // _TREND_POINTS)), count - 1]
    means = []
    for place in places:
        # As many before as after at the steep beginning, so that the trend begins where the run did.
        half = min(count // 50, place)
        near = values[place - half : place + half + 1]
        means.append(sum(near) / len(near))
    return places, means


def _dress(axes: Axes) -> None:
    """Takes away frames and ticks that say nothing."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GREY)
    axes.tick_params(which="both", colors=_INK, labelsize=9, length=3, color=_GREY)
    axes.yaxis.label.set_color(_INK)
    axes.xaxis.label.set_color(_INK)
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)
