"""What the pictures of images share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ds_core.drawing import HEAT, INK, LINE, PLAIN, explain, new
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 9.0  # of a picture, in inches


def rows_of_two(
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
    figure = new(title, max(6.5, columns * cell + 0.8), 0.4 + bands * (2 * cell * tall + 0.3))
    grid = figure.subplots(2 * bands, columns, squeeze=False)
    for panel in grid.flat:
        panel.axis("off")
    shares = (scores - scores.amax(1, keepdim=True)).double().exp()
    shares = shares / shares.sum(1, keepdim=True)
    empty = []
    for number in range(len(images)):
        band, column = divmod(number, columns)
        above = grid[2 * band, column]
        show(above, images[number])
        c = int(classes[number])
        name = f"class {c}" if class_names is None else class_names[c]
        share = f"{name}: {float(shares[number, c]):.0%}"
        above.set_title(share, fontsize=9, color=INK, pad=3, **PLAIN)
        empty.append(grid[2 * band + 1, column])
    from matplotlib.cm import ScalarMappable

    explain(figure, ScalarMappable(cmap=HEAT), list(grid.flat), "share of the image's largest")
    return figure, empty


def show(axes: Axes, image: Tensor) -> None:
    """Shows an image ``(C, H, W)``: three channels in colour, others in grey."""
    values = from_0_to_1(image)
    bare(axes)
    if len(values) == 3:
        axes.imshow(values.permute(1, 2, 0).tolist())
    else:
        axes.imshow(values.mean(0).tolist(), cmap="gray", vmin=0, vmax=1)


def from_0_to_1(image: Tensor) -> Tensor:
    """Returns an image as it can be shown: one that was normalised is stretched back over [0, 1]."""
    image = image.detach().cpu().float()
    low, high = float(image.amin()), float(image.amax())
    if low >= 0 and high <= 1:
        return image
    return (image - low) / (high - low or 1.0)


def bare(axes: Axes) -> None:
    """Takes ticks away, and leaves a thin frame."""
    axes.set_axis_on()
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(color=LINE, linewidth=0.6)
