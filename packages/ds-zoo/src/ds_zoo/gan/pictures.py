"""Pictures of a game: samples side by side, how they changed, and the losses of both players."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from ds_core import History
from ds_core.checks import check_whole
from ds_core.data.optional import needed
from ds_core.drawing import BLUE, GREEN, RED, curves, new, write
from ds_core.training.files import atomic_write
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAP = 2  # pixels between images
SMALLEST_SHOWN = 56  # images of a smaller side are enlarged by a whole number
_WHOLE_MS, _LAST_MS = 12_000, 2_000  # an animation, and how long its last picture stays


def grid(images: Tensor, columns: int) -> Tensor:
    """Lays images out in rows, as bytes.

    Args:
        images: ``(N, C, H, W)``, numbers in [-1, 1], C 1 or 3.
        columns: images in a row.

    Returns:
        uint8 ``(height, width, C)``; white where there is no image.

    Raises:
        ValueError: if there is no image, or it has other channels, or there is no column.
    """
    check_whole("grid", columns=columns)
    if images.dim() != 4 or not len(images) or images.shape[1] not in (1, 3):
        raise ValueError(f"grid: expected images (N, 1 or 3, H, W), got {tuple(images.shape)}")
    times = max(1, SMALLEST_SHOWN // images.shape[-1])
    pixels = ((images.detach().cpu().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    pixels = pixels.repeat_interleave(times, 2).repeat_interleave(times, 3)
    count, channels, height, width = pixels.shape
    rows = -(-count // columns)
    sheet = pixels.new_full((channels, rows * (height + GAP) + GAP, columns * (width + GAP) + GAP), 255)
    for number, image in enumerate(pixels):
        row, column = divmod(number, columns)
        top, left = row * (height + GAP) + GAP, column * (width + GAP) + GAP
        sheet[:, top : top + height, left : left + width] = image
    return sheet.permute(1, 2, 0)


def write_grid(images: Tensor, columns: int, path: Path) -> None:
    """Writes images in rows as one picture, all or nothing; see :func:`grid`.

    Raises:
        ValueError: if the path does not end with ``.png``.
    """
    check_png(path)
    pillow = needed("PIL.Image", "pillow", "a picture of samples")
    picture = pillow.fromarray(grid(images, columns).numpy().squeeze())
    with atomic_write(path) as temporary:
        picture.save(temporary, format="png")


def check_png(path: Path) -> None:
    """Checks that a path is the name of a PNG.

    Raises:
        ValueError: if it does not end with ``.png``.
    """
    if path.suffix.lower() != ".png":
        raise ValueError(f"{path}: expected a name that ends with .png")


def write_animation(pictures: Sequence[Path], path: Path) -> None:
    """Writes pictures, one after the other, as a GIF that begins anew at its end."""
    pillow = needed("PIL.Image", "pillow", "an animation")
    frames = []
    for picture in sorted(pictures, key=number_in):
        with pillow.open(picture) as opened:
            frames.append(opened.convert("P" if opened.mode == "RGB" else "L"))
    if not frames:
        return
    each = max(40, min(500, _WHOLE_MS // len(frames)))
    times = [*[each] * (len(frames) - 1), _LAST_MS]
    with atomic_write(path) as temporary:
        frames[0].save(
            temporary, format="gif", save_all=True, append_images=frames[1:], duration=times, loop=0
        )


def number_in(path: Path) -> int:
    """Returns the first number in a file's name; 0 if there is none."""
    found = re.search(r"\d+", path.stem)
    return int(found[0]) if found else 0


def draw_game(history: History, path: Path | None = None) -> Figure:
    """Draws the losses of both players, how often the discriminator is right, and how good samples are.

    Args:
        history: of a game's training.
        path: where to write the picture; None to only return it.

    Raises:
        ImportError: if matplotlib is missing.
        ValueError: if nothing has been recorded.
    """
    if not len(history):
        raise ValueError("draw_game: expected at least one round, got none")
    train, measured = history.train, history.validation
    below = [name for name in measured if name not in ("step", "epoch")]
    heights = [3.2, 1.4, *[1.4] * len(below)]
    figure = new("", 8, sum(heights) + 0.6)
    panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    lines = (
        ("loss", BLUE, "discriminator"),
        ("generator_loss", RED, "generator"),
        ("penalty", GREEN, "penalty"),
    )
    for name, colour, label in lines:
        if name in train:
            panels[0].plot(train["step"], train[name], color=colour, alpha=0.15, linewidth=0.6)
            panels[0].plot(train["step"], _smooth(train[name]), color=colour, linewidth=1.6, label=label)
    panels[0].set_ylabel("loss")
    panels[0].legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    panels[1].plot(train["step"], _smooth(train["told"]), color=BLUE, linewidth=1.4)
    panels[1].set_ylabel("told apart")
    for axes, name in zip(panels[2:], below, strict=True):
        axes.plot(measured["step"], measured[name], color=GREEN, marker="o", markersize=3)
        axes.set_ylabel(name)
    panels[-1].set_xlabel("round")
    for axes in panels:
        curves(axes)
    figure.align_ylabels()
    return write(figure, path)


def _smooth(values: list[float]) -> list[float]:
    """Returns the mean of up to a fiftieth of all on either side of each."""
    sums = torch.tensor([0.0, *values], dtype=torch.float64).cumsum(0)
    place = torch.arange(len(values))
    half = torch.minimum(torch.minimum(place, len(values) - 1 - place), torch.tensor(len(values) // 50))
    means: list[float] = ((sums[place + half + 1] - sums[place - half]) / (2 * half + 1)).tolist()
    return means
