"""Labelled images from any source, and what becomes of them before a model sees them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import torch
from ds_cnn.transforms import Compose, Normalize
from ds_core.data import DataLoader, HuggingFaceImages, ImageFolder, load
from ds_core.data.fingerprint import fingerprint
from ds_core.data.read_image import read_image
from ds_core.training.files import read_json
from torch import Tensor

from ds_zoo.data.words import parse

PROCESSOR_FILE = "preprocessor_config.json"
SMALL = 4096  # images from which mean and deviation are taken


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


def read_images(
    word: str, *, size: tuple[int, int] | None = None, channels: int | None = None, test: bool = False
) -> LabelledImages:
    """Reads labelled images.

    Args:
        word: ``imagefolder:FOLDER``, whose subfolders are the classes; ``hf:NAME[SPLIT]``; ``idx:FOLDER`` or
            ``idx:FOLDER[test]``, files as MNIST's; or ``sklearn:digits``.
        size: (height, width) to which images in files are resized; None for their own.
        channels: 3 for colour, 1 for grey; None for what suits the source: 3 of files, 1 of ``idx`` and
            ``sklearn``, which are grey.
        test: of a source with a part called test, whether that is read if none is named.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: if the word is of another kind, or the images are not all of one size.
    """
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
        data = load(
            f"idx:{what}",
            **({"split": split or ("test" if test else "train")} if Path(what).is_dir() else {}),
        )
    elif (kind, what) == ("sklearn", "digits"):
        data = load("sklearn:digits")
        data.x = data.x.view(-1, 1, 8, 8) / 16
    else:
        raise ValueError(
            "data: expected images: imagefolder:FOLDER, hf:NAME[SPLIT], idx:FOLDER or sklearn:digits, got "
            f"{word!r}"
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


@dataclass(frozen=True)
class Preparation:
    """What a picture goes through before a model sees it: (pixels / 255 - mean) / std, at one size.

    Args:
        size: (height, width).
        mean: of each channel.
        std: of each channel.
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, images: LabelledImages, size: tuple[int, int]) -> Self:
        """Takes mean and deviation of each channel from the data, or from some thousand of them."""
        rows = torch.linspace(0, len(images) - 1, min(len(images), SMALL)).long().unique()
        chosen = images.part(rows)
        if isinstance(chosen.samples, tuple):
            pixels = chosen.samples[0]
        else:
            read = [chosen.samples[number][0] for number in range(len(chosen))]
            if len(sizes := sorted({tuple(image.shape[1:]) for image in read})) > 1:
                raise ValueError(
                    f"data: expected images of one size, got {sizes[0]} and {sizes[1]}; give --image-size to "
                    "resize all"
                )
            pixels = torch.stack(read)
        std, mean = torch.std_mean(pixels.double() / 255, (0, 2, 3))
        return cls(size, tuple(mean.tolist()), tuple(std.clamp(min=1e-3).tolist()))

    @property
    def channels(self) -> int:
        """Counts the channels: 3 for colour, 1 for grey."""
        return len(self.mean)

    def read(self, path: str | Path) -> Tensor:
        """Reads a picture, uint8 ``(channels, *size)``.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it cannot be read; names it.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: " + ("is a folder" if path.is_dir() else "no such file"))
        return read_image(path, str(path), "L" if self.channels == 1 else "RGB", self.size)

    def steps(self, *changes: Any) -> Prepare:
        """Returns what a loader does to each batch of pixels, with random changes before they are scaled."""
        return Prepare(
            Compose(*changes, Normalize(self.mean, self.std)) if changes else Normalize(self.mean, self.std)
        )

    def file_text(self) -> str:
        """Returns ``preprocessor_config.json``, as `transformers` reads it."""
        fields = {
            "image_processor_type": "ViTImageProcessor",
            "do_resize": True,
            "size": {"height": self.size[0], "width": self.size[1]},
            "resample": 3,  # bicubic
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
        }
        return json.dumps(fields, indent=2) + "\n"

    @classmethod
    def load(cls, folder: str | Path, size: tuple[int, int], channels: int) -> Self:
        """Reads ``preprocessor_config.json``; where there is none, pixels go from -1 to 1 as ViT's first did.

        Raises:
            ValueError: if it is damaged.
        """
        path = Path(folder) / PROCESSOR_FILE
        fields = read_json(path, "how pictures are prepared") if path.is_file() else {}
        mean, std = (fields.get(name, [0.5] * channels) for name in ("image_mean", "image_std"))
        for name, numbers in (("image_mean", mean), ("image_std", std)):
            if not isinstance(numbers, list) or len(numbers) != channels:
                raise ValueError(f"{path}: expected {name} for {channels} channels, got {numbers!r}")
        return cls(size, tuple(map(float, mean)), tuple(map(float, std)))


class Prepare:
    """Bytes to numbers from 0 to 1, then what else is to be done; a loader's transform.

    Args:
        changes: of images in [0, 1], and of what belongs to them.
    """

    def __init__(self, changes: Any) -> None:
        self.changes = changes

    def __call__(self, images: Tensor, *others: Tensor, generator: torch.Generator | None = None) -> Any:
        return self.changes(images.float() / 255, *others, generator=generator)
