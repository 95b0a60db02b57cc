"""Batches of annotated images of different sizes: padded to one, with masks that say where the image is."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from ds_core.checks import fits
from ds_core.data import DataLoader
from ds_core.data.epochs import mixed_generator
from ds_core.training.files import read_json
from torch import Tensor

from ds_zoo import functional
from ds_zoo.data.annotated.changes import Change, Fit, changed
from ds_zoo.data.annotated.image import AnnotatedImage, AnnotatedImages

PROCESSOR_FILE = "preprocessor_config.json"
# Of ImageNet's photographs: what published detectors expect.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preparation:
    """What a picture goes through before a model sees it: resized, (pixels / 255 - mean) / std, padded.

    Args:
        shortest: pixels of the shorter side; None to leave sizes as they are.
        longest: most pixels of the longer side; None for no limit.
        mean: of each channel.
        std: of each channel.
        multiple: sides of a batch are padded to a multiple of it.
    """

    shortest: int | None = None
    longest: int | None = None
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    multiple: int = 1

    def fit(self) -> Fit:
        """Returns what brings an image to its size."""
        return Fit(self.shortest, self.longest)

    def batch(self, images: Sequence[AnnotatedImage]) -> tuple[Tensor, Tensor]:
        """Pads images to one size, at the right and at the bottom.

        Returns:
            pixels ``(B, 3, H, W)``, scaled, 0 in the padding, and mask ``(B, H, W)``, True at the image.
        """
        height, width = (
            -(-max(image.size[side] for image in images) // self.multiple) * self.multiple for side in (0, 1)
        )
        pixels = torch.zeros(len(images), len(self.mean), height, width)
        mask = torch.zeros(len(images), height, width, dtype=torch.bool)
        mean, std = (torch.tensor(numbers).view(-1, 1, 1) for numbers in (self.mean, self.std))
        for row, image in enumerate(images):
            h, w = image.size
            pixels[row, :, :h, :w] = (image.pixels / 255 - mean) / std
            mask[row, :h, :w] = True
        return pixels, mask

    def shown(self, pixels: Tensor) -> Tensor:
        """Returns pixels ``(3, H, W)`` of a batch as they were, from 0 to 1, to be drawn."""
        mean, std = (torch.tensor(numbers).view(-1, 1, 1) for numbers in (self.mean, self.std))
        return (pixels * std + mean).clamp(0, 1)

    def file_text(self, kind: str = "DetrImageProcessor") -> str:
        """Returns ``preprocessor_config.json``, as `transformers` reads it.

        It has no word for resizing only what is too long, and stretches where we pad to a multiple.
        """
        size: dict[str, int] = {}
        if self.shortest is not None:
            size = {"shortest_edge": self.shortest, "longest_edge": self.longest or 10 * self.shortest}
        elif self.longest is not None:
            size = {"longest_edge": self.longest}
        fields: dict[str, Any] = {
            "image_processor_type": kind,
            "format": "coco_detection",
            "do_resize": self.shortest is not None,
            "size": size or {"shortest_edge": 800, "longest_edge": 1333},
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
            "do_pad": True,
        }
        if self.multiple > 1:
            fields["size_divisor"] = self.multiple
        return json.dumps(fields, indent=2) + "\n"

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Reads ``preprocessor_config.json``; where there is none, published DETR's numbers hold.

        Raises:
            ValueError: if it is damaged, or says the size by other than the shorter and the longer side.
        """
        path = Path(folder) / PROCESSOR_FILE
        fields = read_json(path, "how pictures are prepared") if path.is_file() else {}
        size = fields.get("size", {"shortest_edge": 800, "longest_edge": 1333})
        if isinstance(size, int):  # of before 2022
            size = {"shortest_edge": size, "longest_edge": fields.get("max_size", 1333)}
        mean, std = fields.get("image_mean", list(MEAN)), fields.get("image_std", list(STD))
        channels = [numbers if isinstance(numbers, list) else [] for numbers in (mean, std)]
        if not isinstance(size, dict) or any(
            [fits(n, float) for n in part] != [True] * 3 for part in channels
        ):
            raise ValueError(f"{path}: expected size, image_mean and image_std of three channels")
        if min(std) <= 0 or any(
            not fits(side, int | None) or (side is not None and side < 1) for side in size.values()
        ):
            raise ValueError(f"{path}: expected sizes and image_std above 0, got {size} and {std}")
        if not fields.get("do_resize", True) and size.keys() != {"longest_edge"}:
            size = {}
        if not size.keys() <= {"shortest_edge", "longest_edge"}:
            raise ValueError(f"{path}: expected size as shortest_edge and longest_edge, got {size}")
        if not fields.get("do_normalize", True):
            mean, std = [0.0] * 3, [1.0] * 3
        scale = 255 * fields.get("rescale_factor", 1 / 255) if fields.get("do_rescale", True) else 255
        mean, std = ([float(number) / scale for number in numbers] for numbers in (mean, std))
        multiple = fields.get("size_divisor") or 1
        return cls(size.get("shortest_edge"), size.get("longest_edge"), tuple(mean), tuple(std), multiple)


def targets_of(image: AnnotatedImage, size: tuple[int, int] | None = None) -> dict[str, Tensor]:
    """Returns what a detector learns from an image: ``class_labels``, ``boxes`` and, if known, ``masks``.

    The boxes are centre and size in shares of the image; crowds are left out.

    Args:
        image: the image.
        size: (height, width) to which masks are padded; None for the image's own.
    """
    image = image.without_crowds()
    height, width = image.size
    shares = image.boxes / image.boxes.new_tensor([width, height, width, height])
    found = {"class_labels": image.labels, "boxes": functional.centres(shares)[0]}
    if image.masks is not None:
        masks = image.masks
        if size is not None and size != image.size:
            masks = masks.new_zeros(len(masks), *size)
            masks[:, :height, :width] = image.masks
        found["masks"] = masks
    return found


Targets = Callable[[AnnotatedImage, tuple[int, int]], dict[str, Tensor]]


class _Collate:
    """Reads, changes and joins the images of some numbers; a loader's transform.

    Args:
        images: the source.
        preparation: how pictures become numbers.
        changes: what is done to each image first.
        targets: what is learned from an image, padded to a size.
        masked: whether a batch says where its pixels are padding.
    """

    def __init__(
        self,
        images: AnnotatedImages,
        preparation: Preparation,
        changes: Sequence[Change],
        targets: Targets,
        masked: bool,
    ) -> None:
        self.images, self.preparation, self.changes = images, preparation, [*changes]
        self.targets, self.masked = targets, masked

    def __call__(self, numbers: Tensor, *, generator: torch.Generator) -> Any:
        found = [changed(self.images[number], self.changes, generator) for number in numbers.tolist()]
        pixels, mask = self.preparation.batch(found)
        size = (mask.shape[1], mask.shape[2])
        targets = [self.targets(image, size) for image in found]
        return (pixels, mask, targets) if self.masked else (pixels, targets)


def detection_batches(
    images: AnnotatedImages,
    preparation: Preparation,
    batch_size: int,
    *,
    changes: Sequence[Change] | None = None,
    targets: Targets = targets_of,
    masked: bool = True,
    shuffle: bool = False,
    seed: int = 0,
    workers: int = 0,
    prefetch: int = 0,
    drop_last: bool = False,
) -> DataLoader:
    """Makes batches of (pixels, mask, targets), as :class:`ds_zoo.MiniDETR` and its loss take them.

    Images of like shape, tall or wide, come together, so that little of a batch is padding.

    Args:
        images: where they come from.
        preparation: how pictures become numbers.
        batch_size: images in a batch.
        changes: what is done to each image; None for the preparation's own fit.
        targets: what is learned from an image, padded to (height, width).
        masked: whether a batch says where its pixels are padding; if not, it is (pixels, targets).
        shuffle: whether every epoch has an order of its own.
        seed: of order and changes.
        workers: processes that read and change images.
        prefetch: batches made ahead, in a thread.
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
        prefetch=prefetch,
        drop_last=drop_last,
        groups=groups,
        transform=_Collate(
            images, preparation, [preparation.fit()] if changes is None else changes, targets, masked
        ),
    )


def prepared(images: Sequence[AnnotatedImage], preparation: Preparation) -> tuple[Tensor, Tensor]:
    """Fits and joins images of which nothing but the pixels is wanted: pixels and mask."""
    fit, generator = preparation.fit(), mixed_generator(0)
    return preparation.batch([fit(image, generator) for image in images])
