"""feature_maps: what layers make of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds_core import Module, engine
from ds_core.checks import check_whole
from ds_core.drawing import BOTH_SIDES, FROM_ZERO, INK, SOFT, explain, new, shades, write
from ds_core.xray.observe import observe
from torch import Tensor

from ds_cnn.visualize.layers import chosen
from ds_cnn.visualize.passage import as_batch
from ds_cnn.visualize.pictures import WIDTH, bare, show

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass
class FeatureMaps:
    """Feature maps of one or more images.

    Attributes:
        images: ``(N, C, H, W)``.
        maps: path of a layer -> its output, ``(N, channels, h, w)``; another shape behind a Flatten.
        labels: path of a layer -> ``Conv2d(1, 8, 3)``.
    """

    images: Tensor
    maps: dict[str, Tensor]
    labels: dict[str, str]

    def plot(self, path: str | Path | None = None, *, image: int = 0, most: int = 16) -> Figure:
        """Draws the maps of one image: a block for each layer, with one scale of colours for all its maps.

        Args:
            path: where the picture is written (``maps.png``); None for not at all.
            image: the number of the image.
            most: how many maps of a layer are drawn at most.

        Returns:
            The matplotlib figure; a notebook shows it.

        Raises:
            ImportError: if matplotlib is missing; says how to install it.
            ValueError: if no layer has maps, or there is no such image.
        """
        return write(_draw(self, image, most), path)


def feature_maps(model: Module, images: Tensor, layers: str | Sequence[str]) -> FeatureMaps:
    """Returns what chosen layers give for images, in evaluation.

    Args:
        model: any module; it stays as it is.
        images: ``(N, C, H, W)`` or ``(C, H, W)``.
        layers: paths of layers, as ``model.named_modules()`` and ``print(model)`` show them: "0", "layer1.0".
            Of a layer called several times, the latest call counts.

    Returns:
        The maps, and how to draw them.

    Raises:
        ValueError: lists the layers there are, if one is unknown; or says that one is never called.

    Example:
        >>> feature_maps(model, image, ["0", "3"]).plot("maps.png")
    """
    names = chosen(model, layers, "feature_maps")
    images = as_batch(images, "feature_maps")
    outputs: dict[str, Tensor] = {}

    def on_forward(path: str, part: Module, inputs: tuple[Any, ...], output: Any) -> None:
        if path in names:
            outputs[path] = output.clone()  # a later layer may work in place

    copy = model.copy().eval()
    with engine("manual"), observe(copy, on_forward):
        copy(images.clone())
    for name in names:
        if name not in outputs:
            raise ValueError(f"feature_maps: the model never calls its layer {name!r}")
    labels = {path: part.label() for path, part in model.named_modules() if path in names}
    return FeatureMaps(images, {name: outputs[name] for name in names}, labels)


def _draw(seen: FeatureMaps, image: int, most: int) -> Figure:
    """Draws the image, and a block of maps for each layer."""
    if image not in range(len(seen.images)):
        raise ValueError(f"feature_maps: expected an image from 0 to {len(seen.images) - 1}, got {image}")
    check_whole("feature_maps", most=most)
    layers = {name: maps[image] for name, maps in seen.maps.items() if maps.dim() == 4}
    if not layers:
        raise ValueError("feature_maps: expected a layer with maps (N, channels, h, w) to draw, got none")
    columns = 8
    rows = [-(-min(len(maps), most) // columns) for maps in layers.values()]
    title = "Feature maps: what the layers make of the image"
    figure = new(title, WIDTH, 0.45 + sum(0.4 + 1.05 * r for r in rows))
    left, right = figure.subfigures(1, 2, width_ratios=[1.3, 7.7], squeeze=False)[0]
    axes = left.subplots()
    show(axes, seen.images[image])
    axes.set_anchor("N")
    axes.set_title("the image", fontsize=9, color=INK)
    blocks = right.subfigures(len(layers), 1, height_ratios=[0.4 + 1.05 * r for r in rows], squeeze=False)
    for block, count, (name, maps) in zip(blocks[:, 0], rows, layers.items(), strict=True):
        shown = maps[:most].detach().cpu()
        grid = block.subplots(count, columns, squeeze=False)
        scale, low, high = _scale_of(shown)
        for number, panel in enumerate(grid.flat):
            panel.axis("off")
            if number < len(shown):
                bare(panel)
                drawn = shades(panel, shown[number], scale, low, high)
                panel.set_title(str(number), fontsize=7, color=SOFT, pad=2)
        some = f"{len(shown)} of {len(maps)}" if len(shown) < len(maps) else f"{len(maps)}"
        block.suptitle(
            f"{name}   {seen.labels[name]}:  {some} maps of {maps.shape[1]} x {maps.shape[2]}",
            fontsize=9,
            x=0.01,
            ha="left",
            color=INK,
            wrap=True,
        )
        explain(block, drawn, list(grid.flat))
    return figure


def _scale_of(maps: Tensor) -> tuple[str, float, float]:
    """Chooses a scale of colours and its ends for maps of one layer."""
    low, high = float(maps.amin()), float(maps.amax())
    if low < 0:
        limit = max(-low, high)
        return BOTH_SIDES, -limit, limit
    return FROM_ZERO, 0.0, high or 1.0
