"""feature_maps: what layers make of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds_core import Module, engine
from ds_core.xray.observe import observe
from torch import Tensor

from ds_cnn.visualize.layers import chosen
from ds_cnn.visualize.passage import as_batch

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
            most: at most so many maps of a layer.

        Returns:
            The matplotlib figure; a notebook shows it.

        Raises:
            ImportError: if matplotlib is missing; says how to install it.
            ValueError: if no layer has maps, or there is no such image.
        """
        from ds_cnn.visualize.draw import draw_feature_maps, write

        return write(draw_feature_maps(self, image, most), path)


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
