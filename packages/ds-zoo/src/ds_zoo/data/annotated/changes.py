"""What becomes of annotated images before a model sees them: pixels, boxes and masks stay together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import torch
from ds_cnn.functional import upsample
from ds_cnn.transforms import ColorJitter
from torch import Tensor

from ds_zoo.data.annotated.image import AnnotatedImage, box_of, clipped

LEAST_SIDE = 1.0  # pixels of a box that is still an object after a crop


class Change(Protocol):
    """Makes one annotated image of another; random numbers come from the generator alone."""

    def __call__(self, image: AnnotatedImage, generator: torch.Generator) -> AnnotatedImage: ...


class Flip:
    """Mirrors an image left to right, now and then.

    Args:
        chance: how often.
    """

    def __init__(self, chance: float = 0.5) -> None:
        self.chance = chance

    def __call__(self, image: AnnotatedImage, generator: torch.Generator) -> AnnotatedImage:
        if drawn(generator) >= self.chance:
            return image
        left, top, right, bottom = image.boxes.unbind(-1)
        width = image.size[1]
        return replace(
            image,
            pixels=image.pixels.flip(-1),
            boxes=torch.stack([width - right, top, width - left, bottom], -1),
            masks=None if image.masks is None else image.masks.flip(-1),
            semantic=None if image.semantic is None else image.semantic.flip(-1),
        )


class Fit:
    """Resizes images so that the shorter side has a length, unless the longer one would become too long.

    Args:
        shortest: of the shorter side in pixels; several to choose from at random; None to resize only what is
            too long.
        longest: most pixels of the longer side; None for no limit.

    Raises:
        ValueError: if one is below 1.

    Source: Carion et al., End-to-End Object Detection with Transformers (2020), section 4.
    """

    def __init__(self, shortest: int | Sequence[int] | None, longest: int | None = None) -> None:
        self.shortest = [shortest] if isinstance(shortest, int) else list(shortest or ())
        self.longest = longest
        if min([*self.shortest, 1 if longest is None else longest]) < 1:
            raise ValueError(f"Fit: expected sides of at least 1 pixel, got {shortest=} and {longest=}")

    def __call__(self, image: AnnotatedImage, generator: torch.Generator) -> AnnotatedImage:
        height, width = image.size
        scale = 1.0
        if self.shortest:
            place = int(drawn(generator) * len(self.shortest)) if len(self.shortest) > 1 else 0
            scale = self.shortest[place] / min(height, width)
        if self.longest is not None:
            scale = min(scale, self.longest / max(height, width))
        return resized(image, (max(1, round(height * scale)), max(1, round(width * scale))))


class Scale:
    """Makes images larger or smaller by a random factor.

    Args:
        least: factor.
        most: factor.

    Raises:
        ValueError: if they are not above 0, the first at most the second.
    """

    def __init__(self, least: float, most: float) -> None:
        if not 0 < least <= most:
            raise ValueError(f"Scale: expected 0 < least <= most, got {least=} and {most=}")
        self.least, self.most = least, most

    def __call__(self, image: AnnotatedImage, generator: torch.Generator) -> AnnotatedImage:
        scale = self.least + (self.most - self.least) * drawn(generator)
        height, width = image.size
        return resized(image, (max(1, round(height * scale)), max(1, round(width * scale))))


class Crop:
    """Cuts out a random part; an object of which nothing is left there is none any more.

    Args:
        least: share of each side that is kept at least.
        chance: how often an image is cut at all.

    Raises:
        ValueError: if the share is not above 0 and at most 1.
    """

    def __init__(self, least: float = 0.6, chance: float = 1.0) -> None:
        if not 0 < least <= 1:
            raise ValueError(f"Crop: expected a share above 0 and at most 1, got {least=}")
        self.least, self.chance = least, chance

    def __call__(self, image: AnnotatedImage, generator: torch.Generator) -> AnnotatedImage:
        if drawn(generator) >= self.chance:
            return image
        spans = []
        for side in image.size:
            kept = max(1, round(side * (self.least + (1 - self.least) * drawn(generator))))
            first = int(drawn(generator) * (side - kept + 1))
            spans.append((first, first + kept))
        return cropped(image, spans[0], spans[1])


class Pad:
    """Puts an image on a larger, black one, at a random place: objects become small beside it.

    Args:
        most: sides of the larger one, times those of the image.
        chance: how often.

    Raises:
        ValueError: if the sides would be smaller.
    """

    def __init__(self, most: float = 1.5, chance: float = 0.5) -> None:
        if most < 1:
            raise ValueError(f"Pad: expected sides of at least 1 times those of the image, got {most=}")
        self.most, self.chance = most, chance

    def __call__(self, image: AnnotatedImage, generator: torch.Generator) -> AnnotatedImage:
        if drawn(generator) >= self.chance:
            return image
        scale = 1 + (self.most - 1) * drawn(generator)
        size = [max(side, round(side * scale)) for side in image.size]
        place = [int(drawn(generator) * (new - old + 1)) for new, old in zip(size, image.size, strict=True)]
        return padded(image, (size[0], size[1]), (place[0], place[1]))


class Colour:
    """Changes brightness, contrast, saturation and hue; see :class:`ds_cnn.transforms.ColorJitter`.

    Args:
        strength: of brightness, contrast and saturation, from 0 to 1; the hue turns by a tenth of it.
    """

    def __init__(self, strength: float = 0.3) -> None:
        self.jitter = ColorJitter(strength, strength, strength, strength / 10)

    def __call__(self, image: AnnotatedImage, generator: torch.Generator) -> AnnotatedImage:
        changed = self.jitter(image.pixels.float() / 255, generator=generator)
        return replace(image, pixels=(changed.clamp(0, 1) * 255).round().to(torch.uint8))


# ---- what they are made of -----------------------------------------------------------------------------


def drawn(generator: torch.Generator) -> float:
    """Draws a number from 0 to 1."""
    return float(torch.rand((), generator=generator))


def resized(image: AnnotatedImage, size: tuple[int, int]) -> AnnotatedImage:
    """Resizes an image to (height, width): its pixels smoothly, masks and classes to the nearest."""
    old = image.size
    if size == old:
        return image
    pixels, _ = upsample(image.pixels.float()[None], size, "bilinear", False, (None, None), True)
    scale = image.boxes.new_tensor([size[1] / old[1], size[0] / old[0]]).repeat(2)
    return replace(
        image,
        pixels=pixels[0].clamp(0, 255).round().to(torch.uint8),
        boxes=image.boxes * scale,
        masks=None if image.masks is None else nearest(image.masks, size),
        semantic=None if image.semantic is None else nearest(image.semantic, size),
        areas=None,
    )


def nearest(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Takes for each pixel of a picture of another size ``(..., H, W)`` the one that its centre lies in."""
    rows, columns = (
        ((torch.arange(new, device=values.device) + 0.5) * old / new).long().clamp(max=old - 1)
        for new, old in zip(size, values.shape[-2:], strict=True)
    )
    return values.index_select(-2, rows).index_select(-1, columns)


def cropped(image: AnnotatedImage, rows: tuple[int, int], columns: tuple[int, int]) -> AnnotatedImage:
    """Cuts out some rows and columns, each from the first to before the last."""
    (top, bottom), (left, right) = rows, columns
    size = (bottom - top, right - left)
    boxes = clipped(image.boxes - image.boxes.new_tensor([left, top, left, top]), size)
    part = (Ellipsis, slice(top, bottom), slice(left, right))
    masks = None if image.masks is None else image.masks[part]
    if masks is not None:  # what is left of an object may be smaller than what is left of its box
        boxes = torch.tensor([box_of(mask) for mask in masks], dtype=boxes.dtype).view(-1, 4)
    cut = replace(
        image,
        pixels=image.pixels[part],
        boxes=boxes,
        masks=masks,
        semantic=None if image.semantic is None else image.semantic[part],
        areas=None,
    )
    return cut.select((boxes[:, 2:] - boxes[:, :2] >= LEAST_SIDE).all(1))


def padded(image: AnnotatedImage, size: tuple[int, int], place: tuple[int, int] = (0, 0)) -> AnnotatedImage:
    """Puts an image on a black one of (height, width), its corner at (top, left); around it is class 0."""
    (height, width), (top, left) = image.size, place

    def on_larger(values: Tensor | None) -> Tensor | None:
        if values is None:
            return None
        larger = values.new_zeros(*values.shape[:-2], *size)
        larger[..., top : top + height, left : left + width] = values
        return larger

    pixels = on_larger(image.pixels)
    assert pixels is not None
    return replace(
        image,
        pixels=pixels,
        boxes=image.boxes + image.boxes.new_tensor([left, top, left, top]),
        masks=on_larger(image.masks),
        semantic=on_larger(image.semantic),
    )


def changed(
    image: AnnotatedImage, changes: Sequence[Callable[..., AnnotatedImage]], generator: torch.Generator
) -> AnnotatedImage:
    """Changes an image by one change after the other."""
    for change in changes:
        image = change(image, generator)
    return image
