"""What a MaskFormer learns from: the segments of annotated images, and maps to compare with."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from ds_zoo.data.annotated.image import AnnotatedImage, AnnotatedImages
from ds_zoo.maskformer.segments import Segment

BACKGROUND = "background"  # class 0, where objects alone are known: what belongs to none
VOID = -1  # in maps of classes: nobody knows


def classes_of(images: AnnotatedImages) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Returns the classes of a source's pixels, and of which of them an image has one segment at most."""
    if images.stuff is None:
        return (BACKGROUND, *images.class_names), (0,)
    return tuple(images.class_names), tuple(sorted(images.stuff))


def class_maps(
    image: AnnotatedImage, stuff: Collection[int] | None = None
) -> tuple[Tensor, Tensor, list[Segment]]:
    """Returns what is where on an image: the class of each pixel, the segment of each, and the segments.

    Where objects alone are known, classes are counted from 1 on, and 0 is the background, which is one
    segment. Elsewhere pixels of no segment are void. Of a pixel of two objects the later one gets it. Pixels
    of crowds are void.

    Args:
        image: with masks.
        stuff: as its source has it, see :class:`AnnotatedImages`.

    Returns:
        classes ``(H, W)``, :data:`VOID` where nobody knows; segments' numbers ``(H, W)``, 0 for none; the
        segments.

    Raises:
        ValueError: if the image has no masks.
    """
    if image.masks is None:
        raise ValueError(f"image {image.key}: expected masks, got boxes alone")
    first, fused = (1, ()) if stuff is None else (0, stuff)
    classes = torch.full(image.size, 0 if stuff is None else VOID)
    numbers = torch.zeros(image.size, dtype=torch.int64)
    segments: list[Segment] = []
    if image.crowd is not None:
        classes[image.masks[image.crowd].any(0)] = VOID
    image = image.without_crowds()
    assert image.masks is not None
    for number, (mask, label) in enumerate(zip(image.masks, image.labels.tolist(), strict=True), 1):
        classes[mask], numbers[mask] = first + label, number
        segments.append(Segment(number, first + label, 1.0, was_fused=label in fused))
    background = (numbers == 0) & (classes != VOID)
    if background.any():
        segments.append(Segment(len(segments) + 1, 0, 1.0, was_fused=True))
        numbers[background] = len(segments)
    return classes, numbers, segments


def targets_of(
    image: AnnotatedImage, size: tuple[int, int] | None = None, stuff: Collection[int] | None = None
) -> dict[str, Tensor]:
    """Returns what a MaskFormer learns from an image: ``class_labels`` ``(n,)`` and ``masks`` ``(n, H, W)``.

    Args:
        image: with masks.
        size: (height, width) to which masks are padded; None for the image's own.
        stuff: as its source has it, see :class:`AnnotatedImages`.
    """
    _, numbers, segments = class_maps(image, stuff)
    height, width = image.size
    masks = torch.zeros(len(segments), *(size or image.size), dtype=torch.bool)
    for row, segment in enumerate(segments):
        masks[row, :height, :width] = numbers == segment.id
    seen = masks.flatten(1).any(1)  # others may cover all of one
    classes = torch.tensor([segment.label_id for segment in segments], dtype=torch.int64)
    return {"class_labels": classes[seen], "masks": masks[seen]}
