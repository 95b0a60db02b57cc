"""Pairs of picture and caption, from any source, and the batches that a training takes."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from ds_core.data import DataLoader
from ds_core.data.hugging_face import open_hugging_face, read_stored_image
from ds_core.data.optional import needed
from torch import Tensor

from ds_zoo.data.processor import ImageProcessor, read_picture
from ds_zoo.data.scenes import Scenes
from ds_zoo.data.words import parse

Encode = Callable[[Sequence[str]], Tensor]
IMAGE_COLUMNS, TEXT_COLUMNS = ("path", "image", "file", "file_name"), ("caption", "text", "captions", "title")


class Pairs(Protocol):
    """Pictures and captions by number."""

    def __len__(self) -> int: ...

    def picture(self, number: int) -> Tensor:
        """Returns a picture, uint8 ``(3, H, W)``."""

    def caption(self, number: int) -> str:
        """Returns its caption."""


class FilePairs:
    """Pictures in files, named with their captions in a CSV file.

    Args:
        path: the table; the pictures' paths are meant from its folder on, and may not lead out of it.

    Raises:
        FileNotFoundError: if there is no such table.
        ValueError: if it lacks a column of paths or of captions, has no rows, or a path leads elsewhere.
    """

    def __init__(self, path: str | Path) -> None:
        self.folder = Path(path).resolve().parent
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path}: no such file; expected a CSV file of paths and captions")
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        if not rows:
            raise ValueError(f"{path}: expected rows of a path and a caption, got none")
        where, what = (_column(list(rows[0]), known, str(path)) for known in (IMAGE_COLUMNS, TEXT_COLUMNS))
        self.files = [row[where] or "" for row in rows]
        self.captions = [row[what] or "" for row in rows]
        for name in dict.fromkeys(self.files):
            if not (self.folder / name).resolve().is_relative_to(self.folder):
                raise ValueError(f"{path}: {name!r} leads out of the folder {self.folder}")

    def __len__(self) -> int:
        return len(self.files)

    def picture(self, number: int) -> Tensor:
        return read_picture(self.folder / self.files[number])

    def caption(self, number: int) -> str:
        return self.captions[number]


class HubPairs:
    """A column of pictures and one of texts of a data set of the package `datasets`.

    Args:
        name: on the hub, or a folder.
        split: which part.

    Raises:
        ValueError: if it cannot be had, or lacks such columns.
        ImportError: if `datasets` is missing.
    """

    def __init__(self, name: str, split: str | None = None) -> None:
        data, self.source = open_hugging_face(name, split, None)
        library = needed("datasets", "datasets", "hf:...")
        pictures = [column for column, kind in data.features.items() if isinstance(kind, library.Image)]
        if len(pictures) != 1:
            raise ValueError(
                f"{self.source}: expected one column of pictures, got {pictures}, among {data.column_names}"
            )
        self.image, self.text = pictures[0], _column(data.column_names, TEXT_COLUMNS, self.source)
        self.data = data.cast_column(self.image, library.Image(decode=False))

    def __len__(self) -> int:
        return len(self.data)

    def picture(self, number: int) -> Tensor:
        return read_stored_image(self.data[number][self.image], f"{self.source}, row {number}", "RGB")

    def caption(self, number: int) -> str:
        text = self.data[number][self.text]
        return str(text[0] if isinstance(text, list) else text)


class ScenePairs:
    """Scenes and their captions."""

    def __init__(self, scenes: Scenes) -> None:
        self.scenes = scenes.select_columns(["pixels", "caption"])

    def __len__(self) -> int:
        return len(self.scenes)

    def picture(self, number: int) -> Tensor:
        pixels: Tensor = self.scenes.select_columns(["pixels"])[number]["pixels"]
        return pixels

    def caption(self, number: int) -> str:
        return str(self.scenes.select_columns(["caption"])[number]["caption"])


def open_pairs(word: str) -> Pairs:
    """Opens pairs by their data word: ``csv:FILE`` or a CSV file, or ``hf:NAME[SPLIT]``.

    Raises:
        FileNotFoundError, ValueError: if there is nothing of the kind.
    """
    found = parse(word)
    if found.kind == "hf":
        return HubPairs(found.what, found.split)
    if found.kind == "csv" or Path(found.what).suffix == ".csv":
        return FilePairs(found.what)
    raise ValueError(f"data: expected scenes, a CSV file of paths and captions, or hf:NAME, got {word!r}")


def all_captions(pairs: Pairs) -> list[str]:
    """Lists every caption."""
    return [pairs.caption(number) for number in range(len(pairs))]


class _Samples:
    """What the loader takes: picture and token ids by number."""

    def __init__(self, pairs: Pairs, processor: ImageProcessor, encode: Encode, width: int, pad: int) -> None:
        self.pairs, self.processor, self.encode, self.width, self.pad = pairs, processor, encode, width, pad

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        if isinstance(self.pairs, ScenePairs):  # both at once: the scene is drawn once
            sample = self.pairs.scenes[number]
            pixels, caption = sample["pixels"], sample["caption"]
        else:
            pixels, caption = self.pairs.picture(number), self.pairs.caption(number)
        ids = torch.full((self.width,), self.pad)
        found = self.encode([caption])[0]
        ids[: len(found)] = found
        return self.processor.sized(pixels), ids


def pair_batches(
    pairs: Pairs,
    processor: ImageProcessor,
    encode: Encode,
    *,
    batch_size: int,
    width: int,
    pad: int,
    seed: int = 0,
    shuffle: bool = True,
    prefetch: int = 2,
    tint: float = 0.0,
    swap: float = 0.0,
    colours: Sequence[int] = (),
) -> DataLoader:
    """Makes batches of (pixels, token ids, caption numbers): equal captions have equal numbers.

    Args:
        pairs: where they come from.
        processor: makes pixels of pictures.
        encode: makes token ids of captions.
        batch_size: pairs in a batch; a last one that is smaller is left out.
        width: most tokens of a caption.
        pad: what fills up short captions.
        seed: of the order.
        shuffle: whether every epoch has an order of its own.
        prefetch: batches made ahead, in a thread.
        tint: by how much each channel of each picture is made lighter or darker at random, from 0 to 1.
        swap: share of the pictures whose caption names no colour that get their channels in another order:
            the caption stays true.
        colours: token ids that name a colour.
    """
    named = torch.tensor(list(colours), dtype=torch.int64)

    def finish(pixels: Tensor, ids: Tensor, generator: torch.Generator) -> tuple[Tensor, ...]:
        if swap:
            drawn = torch.rand(len(pixels), 4, generator=generator)
            order = drawn[:, :3].argsort(1)[:, :, None, None].expand_as(pixels)
            swapped = (drawn[:, 3] < swap) & ~torch.isin(ids, named).any(1)
            pixels = torch.where(swapped[:, None, None, None], pixels.gather(1, order), pixels)
        if tint:
            light = 1 + tint * (2 * torch.rand(len(pixels), 3, 1, 1, generator=generator) - 1)
            pixels = (pixels * light).clamp(0, 255)
        longest = int((ids != pad).sum(1).max())
        _, numbers = torch.unique(ids, dim=0, return_inverse=True)
        return processor.normalised(pixels), ids[:, :longest], numbers

    samples = _Samples(pairs, processor, encode, width, pad)
    return DataLoader(
        samples,
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        drop_last=True,
        prefetch=prefetch,
        transform=finish,
    )


def _column(columns: Sequence[str], known: Sequence[str], source: str) -> str:
    for name in known:
        if name in columns:
            return name
    raise ValueError(f"{source}: expected a column {' or '.join(known)}, got {', '.join(columns) or 'none'}")
