"""grad_cam: which places of an image speak for a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ds_core import Module
from ds_core.checks import shape
from ds_core.drawing import HEAT, SOFT, shades, write
from torch import Tensor

from ds_cnn.transforms.resize import Resize
from ds_cnn.visualize.layers import chosen
from ds_cnn.visualize.passage import pass_through
from ds_cnn.visualize.pictures import from_0_to_1, rows_of_two

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass
class GradCAM:
    """Where a layer found what speaks for a class.

    Attributes:
        images: ``(N, C, H, W)``.
        weights: a, how much each channel of the layer speaks for the class, ``(N, channels)``.
        map: at the layer's own resolution, ``(N, h, w)``.
        heat: the map as large as the image, and from 0 to 1, ``(N, H, W)``.
        classes: c, ``(N,)``.
        scores: y, ``(N, classes)``.
        layer: the path of the layer.
    """

    images: Tensor
    weights: Tensor
    map: Tensor
    heat: Tensor
    classes: Tensor
    scores: Tensor
    layer: str

    def plot(self, path: str | Path | None = None, *, class_names: Sequence[str] | None = None) -> Figure:
        """Draws the images, and below each its heat laid over it.

        Args:
            path: where the picture is written (``grad_cam.png``); None for not at all.
            class_names: one for each class; None for their numbers.

        Returns:
            The matplotlib figure; a notebook shows it.

        Raises:
            ImportError: if matplotlib is missing; says how to install it.
        """
        return write(_draw(self, class_names), path)


def grad_cam(
    model: Module, images: Tensor, layer: str, target: int | Sequence[int] | Tensor | None = None
) -> GradCAM:
    """Returns the places where a layer found what speaks for a class.

    a_k = mean over i, j of  dy_c / dA[k, i, j],   map[i, j] = max(0, sum over k of  a_k A[k, i, j])

    with A the output of the layer, usually the last one before the pixels are averaged or flattened: it has
    the richest features that still have a place.

    Args:
        model: gives scores ``(N, classes)``, before any softmax; it is seen as in evaluation, and stays as it
            is.
        images: ``(N, C, H, W)`` or ``(C, H, W)``.
        layer: its path, as ``model.named_modules()`` and ``print(model)`` show it.
        target: c: a class for all images, or one for each; None for the class with the highest score.

    Returns:
        The map, and how to draw it.

    Raises:
        ValueError: lists the layers there are, if the layer is unknown; or if it gives no maps or gets no
            gradient, the model gives no scores, or there is no such class.

    Source: Selvaraju et al., Grad-CAM (2017), equations 1 and 2.

    Example:
        >>> grad_cam(model, images, "layer4").plot("grad_cam.png")
    """
    name, *others = chosen(model, layer, "grad_cam")
    if others:
        raise ValueError(f"grad_cam: expected one layer, got {layer}")
    passage = pass_through(model, images, target, [name], "grad_cam")
    maps = passage.outputs[name]  # (N, channels, h, w)
    if maps.dim() != 4:
        raise ValueError(
            f"grad_cam: expected a layer with maps (N, channels, h, w), got {shape(maps)} from {name!r}"
        )
    weights = passage.output_grads[name].mean((2, 3))  # (N, channels)
    heat = (weights[:, :, None, None] * maps).sum(1).clamp(min=0)  # (N, h, w)
    large: Tensor = Resize(tuple(passage.images.shape[2:]))(heat.unsqueeze(1)).squeeze(1)  # (N, H, W)
    peak = large.amax((1, 2), keepdim=True)
    large = large / peak.where(peak > 0, peak.new_ones(()))
    return GradCAM(passage.images, weights, heat, large, passage.classes, passage.scores, name)


def _draw(seen: GradCAM, class_names: Sequence[str] | None) -> Figure:
    """Draws images, and below each the image in grey under its heat."""
    title = f"Grad-CAM: the places that speak for the class, seen from layer {seen.layer}"
    figure, panels = rows_of_two(title, seen.images, seen.scores, seen.classes, class_names)
    for image, heat, panel in zip(seen.images, seen.heat.detach().cpu(), panels, strict=True):
        shades(panel, from_0_to_1(image).mean(0), "gray", 0, 1)
        # The hotter, the less of the image shows through.
        shades(panel, heat, HEAT, 0, 1, alpha=(0.8 * heat.float().sqrt()).numpy())
        if not heat.any():
            panel.set_title("no place does", fontsize=8, color=SOFT, pad=2)
    return figure
