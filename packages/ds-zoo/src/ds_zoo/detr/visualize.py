"""What queries look at, and which object each is matched with while a MiniDETR learns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from ds_cnn.visualize.pictures import bare, show
from ds_core import functional as core
from ds_core.drawing import HEAT, INK, PLAIN, explain, new, shades, write
from ds_core.kernels import dispatch
from ds_core.module import evaluating
from ds_transformer import attention_maps
from PIL import Image, ImageDraw
from torch import Tensor

from ds_zoo.data.annotated.drawing import COLOURS, enlarged, font_of, to_picture, write_label
from ds_zoo.detr.matching import Matched
from ds_zoo.detr.model import MiniDETR

if TYPE_CHECKING:
    from matplotlib.figure import Figure

softmax, _ = dispatch(core.softmax, half=torch.float32)


def query_attention(model: MiniDETR, pixel_values: Tensor, pixel_mask: Tensor | None = None) -> Tensor:
    """Says how much each query looks at each place in the last layer, the mean of its heads.

    Args:
        model: runs in eval mode.
        pixel_values: ``(B, channels, H, W)``.
        pixel_mask: as the model takes it.

    Returns:
        ``(B, Q, rows, columns)`` of the backbone's map; what a query looks at adds up to 1.
    """
    with torch.no_grad(), evaluating(model), attention_maps(model.decoder[-1]) as maps:
        model(pixel_values, pixel_mask)
        (features,) = model.backbone(pixel_values)
    attention = maps[model.decoder[-1].multihead_attn]  # (B, heads, Q, S)
    return attention.mean(1).unflatten(2, features.shape[2:])


def surest(logits: Tensor, class_names: Sequence[str], most: int = 6) -> tuple[Tensor, list[str]]:
    """Finds the queries of an image that are surest to see something.

    Args:
        logits: ``(Q, K + 1)``, those of "nothing" last.
        class_names: of the K classes.
        most: how many.

    Returns:
        The queries' numbers, the surest first, and what each says, as "dog 97 %".
    """
    scores, labels = softmax(logits, -1)[0][:, :-1].max(-1)
    order = scores.argsort(descending=True, stable=True)[:most]
    said = [f"{class_names[int(labels[query])]} {100 * float(scores[query]):.0f} %" for query in order]
    return order, said


def draw_query_attention(
    image: Tensor, attention: Tensor, titles: Sequence[str], *, path: str | Path | None = None
) -> Figure:
    """Draws an image and, beside it, where some queries look.

    Args:
        image: ``(3, H, W)``, from 0 to 1.
        attention: of the queries ``(n, rows, columns)``, see :func:`query_attention`.
        titles: of the queries, as what they found.
        path: where the picture is written; None for not at all.

    Returns:
        The matplotlib figure; a notebook shows it.

    Raises:
        ValueError: if there are not as many titles as queries, or none.
        ImportError: if matplotlib is missing.
    """
    if len(attention) != len(titles) or not len(titles):
        raise ValueError(
            f"draw_query_attention: expected as many titles as queries, got {len(titles)} and "
            f"{len(attention)}"
        )
    figure = new("Where queries look", 1.7 * (len(titles) + 1) + 0.8, 2.4)
    panels = figure.subplots(1, len(titles) + 1, squeeze=False)[0]
    show(panels[0], image)
    for panel, one, title in zip(panels[1:], attention, titles, strict=True):
        bare(panel)
        drawn = shades(panel, one, HEAT, 0.0, float(attention.max()))
        panel.set_title(title, fontsize=9, color=INK, **PLAIN)
    explain(figure, drawn, list(panels), "share")
    return write(figure, path)


def draw_matching(
    pixels: Tensor, boxes: Tensor, targets: Tensor, matched: Matched, *, image: int = 0
) -> Image.Image:
    """Draws an image's objects, each joined to the box of the query it is matched with.

    Thick boxes are the objects', thin ones of the same colour the queries'.

    Args:
        pixels: uint8 ``(3, H, W)``.
        boxes: what the queries of the layer say, centre and size in shares of the image ``(Q, 4)``.
        targets: of the objects, alike ``(n, 4)``.
        matched: ``model.loss.matched``, after a forward with labels.
        image: the image's number there: layer by layer, image by image, group by group.

    Returns:
        The picture, enlarged where it is small.
    """
    picture = to_picture(pixels)
    factor = enlarged(picture.size)
    picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.LANCZOS)
    on, font = ImageDraw.Draw(picture), font_of(max(12, round(min(picture.size) / 34)))

    def corners(box: list[float]) -> tuple[float, float, float, float]:
        x, y, width, height = box
        sides = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        left, top, right, bottom = (
            share * side for share, side in zip(sides, (*picture.size, *picture.size), strict=True)
        )
        return left, top, right, bottom

    here = matched.images == image
    for query, number in zip(matched.queries[here].tolist(), matched.objects[here].tolist(), strict=True):
        colour = COLOURS[number % len(COLOURS)]
        true, said = targets[number].tolist(), boxes[query].tolist()
        on.rectangle(corners(true), outline=colour, width=max(3, picture.width // 120))
        on.rectangle(corners(said), outline=colour, width=max(1, picture.width // 400))
        ends = [(box[0] * picture.width, box[1] * picture.height) for box in (true, said)]
        on.line(ends, fill=colour, width=max(1, picture.width // 400))
        write_label(on, f"query {query}", corners(said)[:2], colour, font)
    return picture
