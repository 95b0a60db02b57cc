"""saliency: which pixels the score of a class is most sensitive to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ds_core import Module
from ds_core.drawing import HEAT, shades, write
from torch import Tensor

from ds_cnn.visualize.passage import pass_through
from ds_cnn.visualize.pictures import rows_of_two

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass
class Saliency:
    """The gradient of a score by the pixels.

    Attributes:
        images: ``(N, C, H, W)``.
        grad: dy_c/dx, ``(N, C, H, W)``.
        map: the largest |dy_c/dx| of each pixel's channels, ``(N, H, W)``.
        classes: c, ``(N,)``.
        scores: y, ``(N, classes)``.
    """

    images: Tensor
    grad: Tensor
    map: Tensor
    classes: Tensor
    scores: Tensor

    def plot(self, path: str | Path | None = None, *, class_names: Sequence[str] | None = None) -> Figure:
        """Draws the images, and below each its map.

        Args:
            path: where the picture is written (``saliency.png``); None for not at all.
            class_names: one for each class; None for their numbers.

        Returns:
            The matplotlib figure; a notebook shows it.

        Raises:
            ImportError: if matplotlib is missing; says how to install it.
        """
        return write(_draw(self, class_names), path)


def saliency(model: Module, images: Tensor, target: int | Sequence[int] | Tensor | None = None) -> Saliency:
    """Returns how strongly each pixel moves the score of a class: the gradient of the score by the image.

    s[i, j] = max over channels of |dy_c / dx[channel, i, j]|

    The backward that trains the network returns this gradient anyway: it only goes on to the image.

    Args:
        model: gives scores ``(N, classes)``, before any softmax; it is seen as in evaluation, and stays as it
            is.
        images: ``(N, C, H, W)`` or ``(C, H, W)``.
        target: c: a class for all images, or one for each; None for the class with the highest score.

    Returns:
        Gradient and map, and how to draw them.

    Raises:
        ValueError: if the model gives no scores or no gradient of the images, or there is no such class.

    Source: Simonyan, Vedaldi, Zisserman, Deep Inside Convolutional Networks (2013), section 3.

    Example:
        >>> saliency(model, images).plot("saliency.png")
    """
    passage = pass_through(model, images, target, (), "saliency")
    if passage.grad is None:
        raise ValueError(
            f"saliency: expected {type(model).__name__}.backward to return the gradient of the images, got "
            "None"
        )
    strongest = passage.grad.abs().amax(1)  # (N, H, W)
    return Saliency(passage.images, passage.grad, strongest, passage.classes, passage.scores)


def _draw(seen: Saliency, class_names: Sequence[str] | None) -> Figure:
    """Draws images, and below each its map from 0 to its largest number."""
    title = "Saliency: the pixels that move the score most"
    figure, panels = rows_of_two(title, seen.images, seen.scores, seen.classes, class_names)
    for values, panel in zip(seen.map.detach().cpu(), panels, strict=True):
        peak = float(values.amax()) or 1.0
        shades(panel, values / peak, HEAT, 0, 1)
    return figure
