"""filters: the kernels of a convolution, as pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ds_core import Module
from torch import Tensor

from ds_cnn.layers import Conv2d
from ds_cnn.visualize.layers import chosen

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
            most: at most so many kernels, and as many channels of each.

        Returns:
            The matplotlib figure; a notebook shows it.

        Raises:
            ImportError: if matplotlib is missing; says how to install it.
        """
        from ds_cnn.visualize.draw import draw_filters, write

        return write(draw_filters(self, most), path)


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
        raise ValueError(f"filters: layer {layer!r} is no Conv2d; there are {', '.join(convolutions)}")
    convolution = convolutions[layer]
    return Filters(convolution.weight.detach().clone(), layer, convolution.label())
