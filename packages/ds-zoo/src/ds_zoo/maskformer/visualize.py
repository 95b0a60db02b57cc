"""Segments on a picture, with a legend; what queries look at, and which segment each is matched with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from ds_core.module import evaluating
from ds_transformer import attention_maps
from PIL import Image, ImageDraw
from torch import Tensor

from ds_zoo.data.annotated.changes import nearest
from ds_zoo.data.annotated.drawing import COLOURS, enlarged, font_of, to_picture, write_label
from ds_zoo.detr.matching import Matched
from ds_zoo.maskformer.model import MiniMaskFormer
from ds_zoo.maskformer.segments import Segment, Segmentation

COVER = 0.55  # how much of a segment's colour there is in what is drawn
BACK = (90, 90, 90)  # the colour of segments that do not count one by one


def draw_segments(pixels: Tensor, found: Segmentation, class_names: Sequence[str]) -> Image.Image:
    """Draws the segments of a picture, and beside it what they are.

    Things get a colour each, so that two of one class can be told apart; what is one of a kind is grey unless
    there are several such classes. White lines part segments; pixels of none stay as they are.

    Args:
        pixels: uint8 ``(3, H, W)``.
        found: its segments.
        class_names: of all classes.

    Returns:
        The picture, enlarged where it is small, and to its right class and score of each segment.
    """
    colours = colours_of(found.segments)
    table = torch.tensor([(0, 0, 0), *colours], dtype=torch.float32)
    painted = found.segmentation.cpu()
    cover = table[painted].permute(2, 0, 1)  # (3, H, W)
    share = torch.where(painted > 0, COVER, 0.0)
    mixed = (pixels * (1 - share) + cover * share).round().to(torch.uint8)
    factor = enlarged(pixels.shape[1:])
    large = mixed.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
    numbers = painted.repeat_interleave(factor, 0).repeat_interleave(factor, 1)
    edge = torch.zeros_like(numbers, dtype=torch.bool)
    edge[1:] |= numbers[1:] != numbers[:-1]
    edge[:, 1:] |= numbers[:, 1:] != numbers[:, :-1]
    picture = to_picture(large.masked_fill(edge, 255))
    return with_legend(picture, found.segments, colours, class_names)


def colours_of(segments: Sequence[Segment]) -> list[tuple[int, int, int]]:
    """Returns a colour for each segment: things by turns, the only class of another kind in grey."""
    single = len({segment.label_id for segment in segments if segment.was_fused}) == 1
    found, turn = [], 0
    for segment in segments:
        if segment.was_fused and single:
            found.append(BACK)
        else:
            found.append(COLOURS[turn % len(COLOURS)])
            turn += 1
    return found


def with_legend(
    picture: Image.Image,
    segments: Sequence[Segment],
    colours: Sequence[tuple[int, int, int]],
    class_names: Sequence[str],
) -> Image.Image:
    """Writes to the right of a picture what each colour stands for."""
    font = font_of(max(12, round(min(picture.size) / 30)))
    words = [f"{class_names[s.label_id]} {100 * s.score:.0f} %" for s in segments] or ["nothing found"]
    measure = ImageDraw.Draw(picture)
    line = 2 * round(measure.textbbox((0, 0), "Ag", font=font)[3] * 0.8)
    width = round(max(measure.textlength(word, font=font) for word in words)) + 2 * line
    height = max(picture.height, line * (len(words) + 1))
    whole = Image.new("RGB", (picture.width + width, height), "white")
    whole.paste(picture, (0, 0))
    on = ImageDraw.Draw(whole)
    for row, word in enumerate(words):
        left, top = picture.width + line // 2, line // 2 + row * line
        if segments:
            on.rectangle((left, top, left + line // 2, top + line // 2), fill=colours[row])
        on.text((left + line, top - line // 8), word, fill="black", font=font)
    return whole


def query_attention(model: MiniMaskFormer, pixel_values: Tensor) -> Tensor:
    """Says how much each query looks at each place in the last layer, the mean of its heads.

    Args:
        model: runs in eval mode.
        pixel_values: ``(B, channels, H, W)``.

    Returns:
        ``(B, Q, rows, columns)`` of the map that the layer looks at; what a query looks at adds up to 1.
    """
    with torch.no_grad(), evaluating(model), attention_maps(model.decoder[-1]) as maps:
        model(pixel_values)
        seen = model.backbone(pixel_values)
        looked_at = model.looked_at(seen[-1], model.pixel_decoder(*seen)[1:])
    attention = maps[model.decoder[-1].multihead_attn]  # (B, heads, Q, S)
    level = looked_at[(len(model.decoder) - 1) % len(looked_at)]
    return attention.mean(1).unflatten(2, level.shape[2:])


def draw_matching(
    pixels: Tensor, said: Tensor, masks: Tensor, matched: Matched, *, image: int = 0
) -> Image.Image:
    """Draws an image's segments and, to their right in the same colours, the masks of their queries.

    Args:
        pixels: uint8 ``(3, H, W)``.
        said: scores of places that the queries of the layer give ``(Q, h, w)``, padding left out.
        masks: of the segments, bool ``(n, H, W)``.
        matched: ``model.loss.matched``, after a forward with labels.
        image: the image's number there: layer by layer, image by image.

    Returns:
        The picture, enlarged where it is small.
    """
    said, masks = said.cpu(), masks.cpu()
    here = matched.images == image
    pairs = list(zip(matched.queries[here].tolist(), matched.objects[here].tolist(), strict=True))
    size = (pixels.shape[1], pixels.shape[2])
    drawn = [nearest(said[query] > 0, size) for query, _ in pairs]
    sides = [
        [masks[number].bool() for _, number in pairs],
        drawn,
    ]
    factor = enlarged(size)
    pictures = []
    for right, side in enumerate(sides):
        mixed = pixels.float()
        for (_, number), mask in zip(pairs, side, strict=True):
            colour = torch.tensor(COLOURS[number % len(COLOURS)], dtype=torch.float32)[:, None, None]
            mixed = torch.where(mask, mixed * (1 - COVER) + colour * COVER, mixed)
        large = mixed.round().to(torch.uint8).repeat_interleave(factor, 1).repeat_interleave(factor, 2)
        picture = to_picture(large)
        on, font = ImageDraw.Draw(picture), font_of(max(12, round(min(picture.size) / 34)))
        for (query, number), mask in zip(pairs, side, strict=True):
            if right and mask.any():
                row, column = (factor * place for place in mask.nonzero().float().mean(0).tolist())
                write_label(on, f"query {query}", (column, row), COLOURS[number % len(COLOURS)], font)
        pictures.append(picture)
    whole = Image.new("RGB", (2 * pictures[0].width + 8, pictures[0].height), "white")
    whole.paste(pictures[0], (0, 0))
    whole.paste(pictures[1], (pictures[0].width + 8, 0))
    return whole
