"""Drawing what was seen. Matplotlib is an extra: this file is loaded when a picture is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ds_core.training.plot import picture
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ds_cnn.visualize.feature_maps import FeatureMaps
    from ds_cnn.visualize.filters import Filters
    from ds_cnn.visualize.grad_cam import GradCAM
    from ds_cnn.visualize.saliency import Saliency

_INK, _SOFT, _LINE = "#30343b", "#6b717b", "#d5d8dd"
# Scales that the colour-blind can read: white is 0, purple more, orange less; and from dark to light.
_FROM_ZERO, _BOTH_SIDES, _HEAT = "Purples", "PuOr", "inferno"
_WIDTH = 9.0  # of every picture, in inches
_DPI = 120


def write(figure: Figure, path: str | Path | None) -> Figure:
    """Writes a figure, if there is a path, and returns it."""
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path)
    return figure


def draw_feature_maps(seen: FeatureMaps, image: int, most: int) -> Figure:
    """Draws the image, and a block of maps for each layer."""
    if not 0 <= image < len(seen.images):
        raise ValueError(f"feature_maps: expected an image from 0 to {len(seen.images) - 1}, got {image}")
    if most < 1:
        raise ValueError(f"feature_maps: expected most of at least 1, got {most}")
    layers = {name: maps[image] for name, maps in seen.maps.items() if maps.dim() == 4}
    if not layers:
        raise ValueError("feature_maps: expected a layer with maps (N, channels, h, w) to draw, got none")
    columns = 8
    rows = [-(-min(len(maps), most) // columns) for maps in layers.values()]
    figure = _new("Feature maps: what the layers make of the image", 0.45 + sum(0.4 + 1.05 * r for r in rows))
    left, right = figure.subfigures(1, 2, width_ratios=[1.3, 7.7], squeeze=False)[0]
    axes = left.subplots()
    _show(axes, seen.images[image])
    axes.set_anchor("N")
    axes.set_title("the image", fontsize=9, color=_INK)
    blocks = right.subfigures(len(layers), 1, height_ratios=[0.4 + 1.05 * r for r in rows], squeeze=False)
    for block, count, (name, maps) in zip(blocks[:, 0], rows, layers.items(), strict=True):
        shown = maps[:most].detach().cpu()
        grid = block.subplots(count, columns, squeeze=False)
        scale, low, high = _scale_of(shown)
        drawn = None
        for number, panel in enumerate(grid.flat):
            panel.axis("off")
            if number < len(shown):
                _bare(panel)
                drawn = panel.imshow(shown[number].tolist(), cmap=scale, vmin=low, vmax=high)
                panel.set_title(str(number), fontsize=7, color=_SOFT, pad=2)
        some = f"{len(shown)} of {len(maps)}" if len(shown) < len(maps) else f"{len(maps)}"
        block.suptitle(
            f"{name}   {seen.labels[name]}:  {some} maps of {maps.shape[1]} x {maps.shape[2]}",
            fontsize=9,
            x=0.01,
            ha="left",
            color=_INK,
        )
        _colorbar(block, drawn, list(grid.flat))
    return figure


def draw_filters(seen: Filters, most: int) -> Figure:
    """Draws kernels: in colour, in a grid, or in a table of outputs by inputs."""
    if most < 1:
        raise ValueError(f"filters: expected most of at least 1, got {most}")
    weight = seen.weight.cpu()[:most]
    kernels, channels, height, width = weight.shape
    title = f"Filters of layer {seen.layer}   {seen.label}" if seen.layer else f"Filters of {seen.label}"
    limit = float(weight.abs().amax()) or 1.0
    if channels in (1, 3):
        columns = min(kernels, 8)
        rows = -(-kernels // columns)
        cell = min(1.05, 8.2 / columns)
        figure = _new(title, 0.6 + rows * (cell * height / width + 0.22))
        grid = figure.subplots(rows, columns, squeeze=False)
        drawn = None
        for number, panel in enumerate(grid.flat):
            if number >= kernels:
                panel.axis("off")
                continue
            _bare(panel)
            panel.set_title(str(number), fontsize=7, color=_SOFT, pad=2)
            if channels == 3:  # black and white for the largest numbers below and above 0
                _show(panel, 0.5 + weight[number] / (2 * limit))
            else:
                drawn = panel.imshow(weight[number, 0].tolist(), cmap=_BOTH_SIDES, vmin=-limit, vmax=limit)
    else:
        weight = weight[:, :most]
        channels = weight.shape[1]
        cell = min(0.8, 8.0 / channels)
        figure = _new(title, 0.9 + kernels * cell * height / width)
        grid = figure.subplots(kernels, channels, squeeze=False, gridspec_kw={"wspace": 0.02, "hspace": 0.02})
        for row, panels in enumerate(grid):
            for column, panel in enumerate(panels):
                _bare(panel)
                drawn = panel.imshow(weight[row, column].tolist(), cmap=_BOTH_SIDES, vmin=-limit, vmax=limit)
                if row == 0:
                    panel.set_title(str(column), fontsize=7, color=_SOFT, pad=2)
                if column == 0:
                    panel.set_ylabel(str(row), fontsize=7, color=_SOFT, rotation=0, ha="right", va="center")
        figure.supxlabel("input channel", fontsize=9, color=_INK)
        figure.supylabel("kernel", fontsize=9, color=_INK)
    _colorbar(figure, drawn, list(grid.flat))
    return figure


def draw_saliency(seen: Saliency, class_names: Sequence[str] | None) -> Figure:
    """Draws images, and below each its map from 0 to its largest number."""
    title = "Saliency: the pixels that move the score most"
    figure, panels = _rows_of_two(title, seen.images, seen.scores, seen.classes, class_names)
    for values, panel in zip(seen.map.detach().cpu(), panels, strict=True):
        peak = float(values.amax()) or 1.0
        panel.imshow((values / peak).tolist(), cmap=_HEAT, vmin=0, vmax=1)
    return figure


def draw_grad_cam(seen: GradCAM, class_names: Sequence[str] | None) -> Figure:
    """Draws images, and below each the image in grey under its heat."""
    title = f"Grad-CAM: the places that speak for the class, seen from layer {seen.layer}"
    figure, panels = _rows_of_two(title, seen.images, seen.scores, seen.classes, class_names)
    for image, heat, panel in zip(seen.images, seen.heat.detach().cpu(), panels, strict=True):
        panel.imshow(_from_0_to_1(image).mean(0).tolist(), cmap="gray", vmin=0, vmax=1)
        # The hotter, the less of the image shows through.
        panel.imshow(heat.tolist(), cmap=_HEAT, vmin=0, vmax=1, alpha=(0.8 * heat.sqrt()).numpy())
        if not heat.any():
            panel.set_title("no place does", fontsize=8, color=_SOFT, pad=2)
    return figure


# ---- what the pictures share -----------------------------------------------------------------------------


def _new(title: str, height: float, width: float = _WIDTH) -> Figure:
    """Makes a figure with a title."""
    try:
        figure = picture(figsize=(width, height), dpi=_DPI, layout="constrained", facecolor="white")
    except ImportError as error:
        raise ImportError("plot needs matplotlib: pip install 'ds-cnn[plot]'") from error
    figure.suptitle(title, x=0.01, ha="left", color=_INK, fontsize=11, fontweight="bold")
    return figure


def _rows_of_two(
    title: str, images: Tensor, scores: Tensor, classes: Tensor, class_names: Sequence[str] | None
) -> tuple[Figure, list[Axes]]:
    """Draws images with the class looked for and its probability; returns an empty panel below each."""
    total = scores.shape[1]
    if class_names is not None and len(class_names) != total:
        raise ValueError(f"plot: expected {total} class names, got {len(class_names)}")
    columns = min(len(images), 8)
    bands = -(-len(images) // columns)
    cell = min(1.9, 8.2 / columns)
    tall = images.shape[2] / images.shape[3]
    figure = _new(title, 0.4 + bands * (2 * cell * tall + 0.3), max(6.5, columns * cell + 0.8))
    grid = figure.subplots(2 * bands, columns, squeeze=False)
    for panel in grid.flat:
        panel.axis("off")
    shares = (scores - scores.amax(1, keepdim=True)).double().exp()
    shares = shares / shares.sum(1, keepdim=True)
    empty = []
    for number in range(len(images)):
        band, column = divmod(number, columns)
        above = grid[2 * band, column]
        _show(above, images[number])
        c = int(classes[number])
        name = f"class {c}" if class_names is None else class_names[c]
        above.set_title(f"{name}: {float(shares[number, c]):.0%}", fontsize=9, color=_INK, pad=3)
        empty.append(grid[2 * band + 1, column])
    from matplotlib.cm import ScalarMappable

    _colorbar(figure, ScalarMappable(cmap=_HEAT), list(grid.flat), "share of the image's largest")
    return figure, empty


def _show(axes: Axes, image: Tensor) -> None:
    """Shows an image ``(C, H, W)``: three channels in colour, others in grey."""
    values = _from_0_to_1(image)
    _bare(axes)
    if len(values) == 3:
        axes.imshow(values.permute(1, 2, 0).tolist())
    else:
        axes.imshow(values.mean(0).tolist(), cmap="gray", vmin=0, vmax=1)


def _from_0_to_1(image: Tensor) -> Tensor:
    """Returns an image as it can be shown: one that was normalised is stretched back over [0, 1]."""
    image = image.detach().cpu().float()
    low, high = float(image.amin()), float(image.amax())
    if low >= 0 and high <= 1:
        return image
    return (image - low) / (high - low or 1.0)


def _scale_of(maps: Tensor) -> tuple[str, float, float]:
    """Chooses a scale of colours and its ends for maps of one layer."""
    low, high = float(maps.amin()), float(maps.amax())
    if low < 0:
        limit = max(-low, high)
        return _BOTH_SIDES, -limit, limit
    return _FROM_ZERO, 0.0, high or 1.0


def _bare(axes: Axes) -> None:
    """Takes ticks away, and leaves a thin frame."""
    axes.set_axis_on()
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=_LINE, linewidth=0.6)


def _colorbar(figure: Any, drawn: Any, panels: list[Axes], label: str = "") -> None:
    """Explains the colours beside the panels."""
    if drawn is None:
        return
    bar = figure.colorbar(drawn, ax=panels, pad=0.01, aspect=25, shrink=0.9)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=7, colors=_SOFT, length=2)
    if label:
        bar.set_label(label, fontsize=8, color=_SOFT)
