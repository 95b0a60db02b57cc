"""Drawing on a picture what was found there: boxes, masks, names and scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ds_core.data.read_image import ENDINGS as PICTURES
from ds_core.training.files import atomic_write
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

# Colours for classes, by turns: neighbours differ for the colour-blind, too, and all show on light and dark.
COLOURS = (
    *((230, 57, 70), (29, 120, 200), (255, 183, 3), (42, 157, 80), (155, 80, 200), (0, 175, 185)),
    *((244, 120, 40), (240, 110, 170), (130, 90, 60), (120, 190, 60)),
)
# Pixels of the shorter side of what is drawn, as on smaller pictures nobody could read; of the longer one.
LEAST_SIDE, MOST_SIDE = 480, 4800
ENDINGS = frozenset({*PICTURES, ".pdf"})  # of the files that :func:`write_picture` writes
COVER = 0.45  # of a mask's colour


def draw_objects(
    pixels: Tensor,
    boxes: Tensor,
    labels: Sequence[int],
    class_names: Sequence[str],
    scores: Sequence[float] | None = None,
    masks: Tensor | None = None,
) -> Image.Image:
    """Draws objects on a picture, the same colour for the same class.

    Args:
        pixels: uint8 ``(3, H, W)``.
        boxes: corners in pixels ``(n, 4)``.
        labels: the number of each object's class.
        class_names: of all classes.
        scores: of each object, from 0 to 1; None for none.
        masks: bool ``(n, H, W)``; None for none.

    Returns:
        The picture, enlarged where it is small.
    """
    image = to_picture(pixels)
    if masks is not None:
        for mask, label in zip(masks, labels, strict=True):
            cover = Image.frombytes(
                "L", image.size, bytes((mask.int() * int(255 * COVER)).flatten().tolist())
            )
            image.paste(COLOURS[label % len(COLOURS)], (0, 0), cover)
    factor = enlarged(image.size)
    if factor > 1:
        image = image.resize((image.width * factor, image.height * factor), Image.Resampling.LANCZOS)
    on = ImageDraw.Draw(image)
    line = max(2, round(min(image.size) / 240))
    font = font_of(max(12, round(min(image.size) / 34)))
    for box, label in zip(boxes.tolist(), labels, strict=True):
        corners = [factor * number for number in box]
        on.rectangle(corners, outline=COLOURS[label % len(COLOURS)], width=line)
    for row, (box, label) in enumerate(zip(boxes.tolist(), labels, strict=True)):  # over all boxes
        words = class_names[label] + ("" if scores is None else f" {100 * scores[row]:.0f} %")
        write_label(on, words, (factor * box[0], factor * box[1]), COLOURS[label % len(COLOURS)], font)
    return image


def enlarged(size: Sequence[int]) -> int:
    """Returns by what whole number a picture of two sides is enlarged to be drawn on."""
    return max(1, min(-(-LEAST_SIDE // min(size)), MOST_SIDE // max(size)))


def write_picture(picture: Image.Image, path: Path) -> None:
    """Writes a picture, all or nothing; the path's ending, of :data:`ENDINGS`, says how."""
    with atomic_write(path) as temporary:
        picture.save(temporary, Image.registered_extensions()[path.suffix.lower()])


def to_picture(pixels: Tensor) -> Image.Image:
    """Makes a picture of pixels, uint8 ``(3, H, W)``."""
    content = pixels.permute(1, 2, 0).contiguous()
    return Image.frombytes("RGB", (pixels.shape[2], pixels.shape[1]), content.numpy().tobytes())


def font_of(size: int) -> Any:
    """Returns pillow's own font at a size, or at its only one where pillow is old."""
    try:
        return ImageFont.load_default(size)
    except TypeError:
        return ImageFont.load_default()


def write_label(
    on: ImageDraw.ImageDraw,
    words: str,
    place: tuple[float, float],
    colour: tuple[int, int, int],
    font: Any,
) -> None:
    """Writes words on a field of a colour, above a place if there is room, and within the picture."""
    left, top, right, bottom = on.textbbox((0, 0), words, font=font)
    width, height = right - left + 6, bottom - top + 4
    whole_width, whole_height = on.im.size
    x = max(0, min(place[0], whole_width - width))
    y = place[1] - height if place[1] >= height else min(place[1], whole_height - height)
    on.rectangle((x, y, x + width, y + height), fill=colour)
    light = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2] > 150
    on.text((x + 3 - left, y + 2 - top), words, fill="black" if light else "white", font=font)
