"""Images for a game: of any source, in two parts, with numbers from -1 to 1."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from ds_core.data import train_test_split
from torch import Tensor

from ds_zoo.data.words import parse
from ds_zoo.vit.data import SCENES, LabelledImages, read_images


def read_parts(
    word: str,
    *,
    size: int | None = None,
    channels: int | None = None,
    names: str | None = None,
    held_out: float = 0.1,
    seed: int = 0,
) -> tuple[LabelledImages, LabelledImages]:
    """Reads images: those to learn from, and those by which samples are measured.

    The latter are the part called test, of a folder of IDX files; further scenes; else a share set aside.

    Args:
        word: ``imagefolder:FOLDER``, ``hf:NAME[SPLIT]``, ``idx:FOLDER``, ``scenes`` or ``sklearn:digits``.
        size: height and width to which images in files are resized; of scenes, that of the picture.
        channels: 3 for colour, 1 for grey; None for what suits the source.
        names: of the classes, with commas between them; None for the source's own.
        held_out: the share set aside.
        seed: which are set aside.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: if the word is of another kind, there are too few images for two parts, channels are not 1
            or 3, or a class lacks its name.
    """
    options: dict[str, Any] = {"size": None if size is None else (size, size), "channels": channels}
    if word == SCENES:
        parts = [read_images(word, **options, test=test) for test in (False, True)]
    else:
        images = read_images(word, **options)
        if len(images) < 2:
            raise ValueError(f"{word}: expected at least 2 images, which a game compares, got {len(images)}")
        found = parse(word)
        if found.kind == "idx" and found.split is None and Path(found.what).is_dir():
            parts = [images, read_images(word, **options, test=True)]
            classes = max((part.class_names for part in parts), key=len)  # a part may lack the last one
            parts = [replace(part, class_names=classes) for part in parts]
        else:
            rows = torch.arange(len(images))
            parts = [images.part(part) for part in train_test_split(rows, test_size=held_out, seed=seed)]
    if len(parts[1]) < 2:
        raise ValueError(
            f"{word}: expected at least 2 images to measure samples by, which are compared, got "
            f"{len(parts[1])} beside {len(parts[0]):,} to learn from; --held-out {held_out:g} says how many"
        )
    if names is not None:
        called = tuple(name.strip() for name in names.split(","))
        if len(called) != len(parts[0].class_names) or len(set(called)) < len(called):
            raise ValueError(
                f"names: expected {len(parts[0].class_names)} different names of classes with commas between "
                f"them, got {names!r}"
            )
        parts = [replace(part, class_names=called) for part in parts]
    return parts[0], parts[1]


class Centred:
    """Bytes to numbers from -1 to 1, where the generator's are, too; a loader's transform."""

    def __call__(self, images: Tensor, *others: Tensor, generator: torch.Generator | None = None) -> Any:
        return (images.float() / 127.5 - 1, *others)


def some(images: LabelledImages, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Returns some of the images, chosen at random, with numbers from -1 to 1, and their classes."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:count]
    batches = list(images.part(order).loader(256, transform=Centred()))
    return torch.cat([batch[0] for batch in batches]), torch.cat([batch[1] for batch in batches])
