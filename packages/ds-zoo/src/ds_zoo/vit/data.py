"""Labelled images from any source, and what becomes of them before a model sees them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from ds_cnn.transforms import Compose, Normalize
from ds_core.data import DataLoader, HuggingFaceImages, ImageFolder, load
from ds_core.data.fingerprint import fingerprint
from torch import Tensor

from ds_zoo.data.processor import BILINEAR, PROCESSOR_FILE, ImageProcessor
from ds_zoo.data.scenes import Scenes
from ds_zoo.data.words import parse

SMALL = 4096  # images from which mean and deviation are taken
SCENES, COUNT, SIDE = "scenes", 4096, 32  # how many scenes of one shape each, and their side


class Samples(Protocol):
    """Images and their classes by number, read when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> tuple[Tensor, int]: ...


@dataclass(frozen=True)
class LabelledImages:
    """Images, uint8 ``(channels, height, width)`` each, and their classes.

    Attributes:
        samples: two tensors, where they are in memory; else what reads them one by one.
        labels: ``(N,)`` int64.
        class_names: one for each class.
        print: what tells these data from others.
    """

    samples: tuple[Tensor, Tensor] | Samples
    labels: Tensor
    class_names: tuple[str, ...]
    print: str

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, rows: Tensor) -> LabelledImages:
        """Returns some of them, in this order."""
        if isinstance(self.samples, tuple):
            images, labels = self.samples
            samples: tuple[Tensor, Tensor] | Samples = (images[rows], labels[rows])
        else:
            samples = Chosen(self.samples, rows.tolist())
        return LabelledImages(samples, self.labels[rows], self.class_names, self.print)

    def loader(self, batch_size: int, **options: Any) -> DataLoader:
        """Returns batches of them; see :class:`ds_core.data.DataLoader`."""
        data = self.samples if isinstance(self.samples, tuple) else (self.samples,)
        return DataLoader(*data, batch_size=batch_size, **options)

    def prepared(self, processor: ImageProcessor) -> LabelledImages:
        """Returns them as a processor resizes and crops them."""
        if isinstance(self.samples, tuple):
            images, labels = self.samples
            ready: Any = (torch.stack([processor.sized(image) for image in images]), labels)
        else:
            ready = Prepared(self.samples, processor)
        return LabelledImages(ready, self.labels, self.class_names, self.print)

    def shape(self) -> tuple[int, int, int]:
        """Returns channels, height and width of the first image."""
        first = self.samples[0][0]
        return first.shape[0], first.shape[1], first.shape[2]


class Chosen:
    """Some of the samples."""

    def __init__(self, samples: Samples, rows: Sequence[int]) -> None:
        self.samples, self.rows = samples, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        return self.samples[self.rows[number]]


class Prepared:
    """The samples, resized and cropped by a processor."""

    def __init__(self, samples: Samples, processor: ImageProcessor) -> None:
        self.samples, self.processor = samples, processor

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        image, label = self.samples[number]
        return self.processor.sized(image), label


def read_images(
    word: str, *, size: tuple[int, int] | None = None, channels: int | None = None, test: bool = False
) -> LabelledImages:
    """Reads labelled images.

    Args:
        word: ``imagefolder:FOLDER``, whose subfolders are the classes; ``hf:NAME[SPLIT]``; ``idx:FOLDER`` or
            ``idx:FOLDER[test]``, files as MNIST's; ``sklearn:digits``; or ``scenes``, of one shape each.
        size: (height, width) to which images in files are resized, and in which scenes are drawn; None for
            their own.
        channels: 3 for colour, 1 for grey; None for what suits the source: 3 of files and scenes, 1 of
            ``idx`` and ``sklearn``, which are grey.
        test: of a source with a part called test, whether that is read if none is named; of scenes, others.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: if the word is of another kind, the images are not all of one size, or channels are not 1
            or 3.
    """
    check_channels(channels)
    if word == SCENES:
        return _scenes(COUNT * test, size or (SIDE, SIDE), channels or 3)
    kind, what, split, column = parse(word)
    mode: Literal["RGB", "L"] = "L" if channels == 1 else "RGB"
    if kind in ("imagefolder", "hf"):
        samples: Any
        if kind == "imagefolder":
            samples = ImageFolder(what, size=size, mode=mode)
            labels = [label for _, label in samples.files]
            seen = "\n".join(
                f"{file.relative_to(samples.path)} {file.stat().st_size}" for file, _ in samples.files
            )
        else:
            samples = HuggingFaceImages(what, split=split, label=column, size=size, mode=mode)
            labels = samples.labels
            seen = f"{samples.source} {labels}"
        names = samples.class_names or [str(number) for number in range(max(labels) + 1)]
        made = hashlib.sha256(seen.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return LabelledImages(samples, torch.tensor(labels), tuple(names), made)
    if kind == "idx":
        if split is None and Path(what).is_dir():
            split = "test" if test else "train"
        data = load(f"idx:{what}", split=split)
    elif (kind, what) == ("sklearn", "digits"):
        data = load("sklearn:digits")
        data.x = data.x.view(-1, 1, 8, 8) / 16
    else:
        raise ValueError(
            "expected images: imagefolder:FOLDER, hf:NAME[SPLIT], idx:FOLDER, sklearn:digits or scenes, "
            f"got {word!r}"
        )
    if data.y is None:
        raise ValueError(f"{word}: expected labels beside the images, got none")
    pixels = (data.x * 255).round().to(torch.uint8)
    if channels not in (None, 1):
        pixels = pixels.expand(-1, channels, -1, -1)
    if size not in (None, tuple(pixels.shape[2:])):
        raise ValueError(f"{word}: expected images of {size}, got {tuple(pixels.shape[2:])}")
    names = data.class_names or [str(number) for number in range(int(data.y.max()) + 1)]
    return LabelledImages((pixels, data.y), data.y, tuple(names), fingerprint((pixels, data.y)))


def _scenes(start: int, size: tuple[int, int], channels: int) -> LabelledImages:
    """Draws scenes of one shape each; its kind is the class."""
    scenes = Scenes(COUNT, start=start, size=size, columns=("pixels", "label"))
    samples = list(scenes)
    pixels = torch.stack([sample["pixels"] for sample in samples])
    if channels == 1:
        pixels = pixels.float().mean(1, keepdim=True).round().to(torch.uint8)
    labels = torch.tensor([sample["label"] for sample in samples])
    return LabelledImages((pixels, labels), labels, tuple(scenes.class_names), fingerprint((pixels, labels)))


def check_channels(channels: int | None) -> None:
    """Checks that images can have so many channels.

    Raises:
        ValueError: if they are neither 1 nor 3, nor left open.
    """
    if channels not in (None, 1, 3):
        raise ValueError(f"channels: expected 3 for colour or 1 for grey, got {channels}")


def processor_of(images: LabelledImages, size: tuple[int, int]) -> ImageProcessor:
    """Prepares pictures of one size with mean and deviation of the data, or of some thousand of them."""
    rows = torch.linspace(0, len(images) - 1, min(len(images), SMALL)).long().unique()
    chosen = images.part(rows).samples
    if isinstance(chosen, tuple):
        parts = iter(chosen[0].split(256))
    else:
        parts = (chosen[number][0][None] for number in range(len(chosen)))
    channels = images.shape()[0]
    sizes, count = set(), 0
    total, squares = torch.zeros(2, channels, dtype=torch.float64)
    for part in parts:  # never all of them at once: as float64 they would need 24 bytes a pixel
        sizes.add(tuple(part.shape[2:]))
        values = part.double().transpose(0, 1).flatten(1) / 255  # (C, N H W)
        count += values.shape[1]
        total += values.sum(1)
        squares += values.square().sum(1)
    if len(sizes) > 1:
        first, second, *_ = sorted(sizes)
        raise ValueError(
            f"data: expected images of one size, got {first} and {second}; give --image-size to resize all"
        )
    mean = total / count
    std = ((squares - total * mean) / max(1, count - 1)).clamp(min=1e-6).sqrt()
    return ImageProcessor(size, None, tuple(mean.tolist()), tuple(std.tolist()), kind="ViTImageProcessor")


def load_processor(folder: str | Path, size: tuple[int, int], channels: int) -> ImageProcessor:
    """Reads ``preprocessor_config.json``; where there is none, pixels go from -1 to 1 as ViT's first did.

    Raises:
        ValueError: if it is damaged, or for images of other channels.
    """
    if not (Path(folder) / PROCESSOR_FILE).is_file():
        half = (0.5,) * channels
        return ImageProcessor(size, None, half, half, BILINEAR, kind="ViTImageProcessor")
    processor = ImageProcessor.load(folder, "ViTImageProcessor")
    if processor.channels != channels:
        raise ValueError(
            f"{Path(folder) / PROCESSOR_FILE}: expected image_mean for {channels} channels, got "
            f"{list(processor.mean)}"
        )
    return processor


class Augment:
    """Bytes to numbers from 0 to 1, random changes, then what a processor does; a loader's transform.

    Args:
        processor: whose mean and deviation.
        changes: of images in [0, 1], and of what belongs to them.
    """

    def __init__(self, processor: ImageProcessor, *changes: Any) -> None:
        self.changes = Compose(*changes, Normalize(processor.mean, processor.std))

    def __call__(self, images: Tensor, *others: Tensor, generator: torch.Generator | None = None) -> Any:
        return self.changes(images.float() / 255, *others, generator=generator)
