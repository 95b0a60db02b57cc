"""What a MaskFormer learns from: the segments of annotated images, in batches, and maps to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ds_core.data import DataLoader
from torch import Tensor

from ds_zoo.data.annotated.batches import Preparation
from ds_zoo.data.annotated.changes import Change, changed
from ds_zoo.data.annotated.image import AnnotatedImage, AnnotatedImages
from ds_zoo.maskformer.segments import Segment

BACKGROUND = "background"  # class 0: what belongs to no object
VOID = -1  # in maps of classes: nobody knows


def class_maps(image: AnnotatedImage) -> tuple[Tensor, Tensor, list[Segment]]:
    """Returns what is where on an image: the class of each pixel, the segment of each, and the segments.

    Classes are counted from 1 on; 0 is the background, which is one segment. Of a pixel of two objects the
    later one gets it. Pixels of crowds are void.

    Args:
        image: with masks.

    Returns:
        classes ``(H, W)``, :data:`VOID` where nobody knows; segments' numbers ``(H, W)``, 0 for none; the
        segments.

    Raises:
        ValueError: if the image has no masks.
    """
    if image.masks is None:
        raise ValueError(f"image {image.key}: expected masks, got boxes alone")
    classes = torch.zeros(image.size, dtype=torch.int64)
    numbers = torch.zeros(image.size, dtype=torch.int64)
    segments: list[Segment] = []
    if image.crowd is not None:
        classes[image.masks[image.crowd].any(0)] = VOID
    image = image.without_crowds()
    assert image.masks is not None
    for number, (mask, label) in enumerate(zip(image.masks, image.labels.tolist(), strict=True), 1):
        classes[mask], numbers[mask] = label + 1, number
        segments.append(Segment(number, label + 1, 1.0))
    background = (numbers == 0) & (classes != VOID)
    if background.any():
        segments.append(Segment(len(segments) + 1, 0, 1.0, was_fused=True))
        numbers[background] = len(segments)
    return classes, numbers, segments


def targets_of(image: AnnotatedImage, size: tuple[int, int] | None = None) -> dict[str, Tensor]:
    """Returns what a MaskFormer learns from an image: ``class_labels`` ``(n,)`` and ``masks`` ``(n, H, W)``.

    Args:
        image: with masks.
        size: (height, width) to which masks are padded; None for the image's own.
    """
    _, numbers, segments = class_maps(image)
    height, width = image.size
    masks = torch.zeros(len(segments), *(size or image.size), dtype=torch.bool)
    for row, segment in enumerate(segments):
        masks[row, :height, :width] = numbers == segment.id
    seen = masks.flatten(1).any(1)  # others may cover all of one
    classes = torch.tensor([segment.label_id for segment in segments], dtype=torch.int64)
    return {"class_labels": classes[seen], "masks": masks[seen]}


class _Collate:
    """Reads, changes and joins the images of some numbers; a loader's transform."""

    def __init__(self, images: AnnotatedImages, preparation: Preparation, changes: Sequence[Change]) -> None:
        self.images, self.preparation, self.changes = images, preparation, [*changes]

    def __call__(self, numbers: Tensor, *, generator: torch.Generator) -> Any:
        found = [changed(self.images[number], self.changes, generator) for number in numbers.tolist()]
        pixels, _ = self.preparation.batch(found)
        size = (pixels.shape[2], pixels.shape[3])
        return pixels, [targets_of(image, size) for image in found]


def segment_batches(
    images: AnnotatedImages,
    preparation: Preparation,
    batch_size: int,
    *,
    changes: Sequence[Change] | None = None,
    shuffle: bool = False,
    seed: int = 0,
    workers: int = 0,
    drop_last: bool = False,
) -> DataLoader:
    """Makes batches of (pixels, targets), as :class:`ds_zoo.MiniMaskFormer` and its loss take them.

    Images of like shape, tall or wide, come together, so that little of a batch is padding.

    Args:
        images: where they come from.
        preparation: how pictures become numbers.
        batch_size: images in a batch.
        changes: what is done to each image; None for the preparation's own fit.
        shuffle: whether every epoch has an order of its own.
        seed: of order and changes.
        workers: processes that read and change images.
        drop_last: whether a last batch that is not full is left out.
    """
    groups = None
    if images.sizes is not None and len({height > width for height, width in images.sizes}) > 1:
        groups = torch.tensor([int(height > width) for height, width in images.sizes])
    return DataLoader(
        torch.arange(len(images)),
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        workers=workers,
        drop_last=drop_last,
        groups=groups,
        transform=_Collate(images, preparation, [preparation.fit()] if changes is None else changes),
    )
