"""filters: the kernels of a convolution, as pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ds_core import Module
from ds_core.checks import check_whole
from ds_core.drawing import BOTH_SIDES, INK, SOFT, explain, new, shades, write
from ds_core.xray.summary import brief
from torch import Tensor

from ds_cnn.layers import Conv2d
from ds_cnn.visualize.layers import chosen
from ds_cnn.visualize.pictures import WIDTH, bare, show

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass
class Filters:
    """The kernels of one convolution.

    Attributes:
        weight: ``(out_channels, in_channels / groups, height, width)``.
        layer: its path in the model.
        label: ``Conv2d(1, 8, 3)``.
    """

    weight: Tensor
    layer: str
    label: str

    def plot(self, path: str | Path | None = None, *, most: int = 32) -> Figure:
        """Draws the kernels: in colour if they see three channels, else one small picture for each channel.

        Args:
            path: where the picture is written (``filters.png``); None for not at all.
            most: how many kernels, and channels of each, are drawn at most.

        Returns:
            The matplotlib figure; a notebook shows it.

        Raises:
            ImportError: if matplotlib is missing; says how to install it.
        """
        return write(_draw(self, most), path)


def filters(model: Module, layer: str | None = None) -> Filters:
    """Returns the kernels of a convolution.

    Args:
        model: any module.
        layer: path of a Conv2d; None for the first one.

    Returns:
        A copy of the kernels, and how to draw them.

    Raises:
        ValueError: lists the convolutions there are, if the layer is unknown or none.

    Example:
        >>> filters(model).plot("filters.png")
    """
    convolutions = {path: part for path, part in model.named_modules() if isinstance(part, Conv2d)}
    if not convolutions:
        raise ValueError(f"filters: expected a model with a Conv2d, got {type(model).__name__} without")
    if layer is None:
        layer = next(iter(convolutions))
    elif layer not in convolutions:
        chosen(model, layer, "filters")
        raise ValueError(f"filters: layer {layer!r} is not a Conv2d; there are {', '.join(convolutions)}")
    convolution = convolutions[layer]
    return Filters(convolution.weight.detach().clone(), layer, convolution.label())


def _draw(seen: Filters, most: int) -> Figure:
    """Draws kernels: in colour, in a grid, or in a table of outputs by inputs."""
    check_whole("filters", most=most)
    weight = seen.weight.cpu().float()[:most]
    kernels, channels, height, width = weight.shape
    label = brief(seen.label)
    title = f"Filters of layer {seen.layer}   {label}" if seen.layer else f"Filters of {label}"
    limit = float(weight.abs().amax()) or 1.0
    # A few weights must not leave all others pale.
    dark = float(weight.abs().flatten().quantile(0.98)) or limit
    if channels in (1, 3):
        columns = min(kernels, 8)
        rows = -(-kernels // columns)
        cell = min(1.05, 8.2 / columns)
        figure = new(title, WIDTH, 0.6 + rows * (cell * height / width + 0.22))
        grid = figure.subplots(rows, columns, squeeze=False)
        drawn = None
        for number, panel in enumerate(grid.flat):
            if number >= kernels:
                panel.axis("off")
                continue
            bare(panel)
            panel.set_title(str(number), fontsize=7, color=SOFT, pad=2)
            if channels == 3:  # black and white for the largest numbers below and above 0
                show(panel, 0.5 + weight[number] / (2 * limit))
            else:
                drawn = shades(panel, weight[number, 0], BOTH_SIDES, -dark, dark)
    else:
        weight = weight[:, :most]
        channels = weight.shape[1]
        cell = min(0.8, 8.0 / channels)
        figure = new(title, WIDTH, 0.9 + kernels * cell * height / width)
        grid = figure.subplots(kernels, channels, squeeze=False, gridspec_kw={"wspace": 0.02, "hspace": 0.02})
        for row, panels in enumerate(grid):
            for column, panel in enumerate(panels):
                bare(panel)
                drawn = shades(panel, weight[row, column], BOTH_SIDES, -dark, dark)
                if row == 0:
                    panel.set_title(str(column), fontsize=7, color=SOFT, pad=2)
                if column == 0:
                    panel.set_ylabel(str(row), fontsize=7, color=SOFT, rotation=0, ha="right", va="center")
        figure.supxlabel("input channel", fontsize=9, color=INK)
        figure.supylabel("kernel", fontsize=9, color=INK)
    if drawn is not None:
        explain(figure, drawn, list(grid.flat))
    return figure
