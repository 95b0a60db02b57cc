"""Pairs of picture and caption, from any source, and the batches that a training takes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from ds_core.data import DataLoader, read_csv
from ds_core.data.hugging_face import open_hugging_face, read_column, read_stored_image
from ds_core.data.optional import needed
from torch import Tensor

from ds_zoo.data.processor import ImageProcessor, read_picture
from ds_zoo.data.scenes import Scenes
from ds_zoo.data.words import parse

Encode = Callable[[Sequence[str]], Tensor]
IMAGE_COLUMNS, TEXT_COLUMNS = ("path", "image", "file", "file_name"), ("caption", "text", "captions", "title")


class Pairs(Protocol):
    """Pictures and captions by number.

    Attributes:
        print: what tells these data from others.
    """

    print: str

    def __len__(self) -> int: ...

    def picture(self, number: int) -> Tensor:
        """Returns a picture, uint8 ``(3, H, W)``."""

    def caption(self, number: int) -> str:
        """Returns its caption."""

    def picture_id(self, number: int) -> int:
        """Returns what tells its picture from others: a picture with several captions is several pairs."""


class FilePairs:
    """Pictures in files, named with their captions in a CSV file.

    Args:
        path: the table; the pictures' paths are meant from its folder on, and may not lead out of it.
        column: the column of captions; None for one of the usual names.

    Raises:
        FileNotFoundError: if there is no such table, or no such picture; names the line.
        ValueError: if it cannot be read, lacks a column of paths or of captions, or a row lacks one of the
            two or leads elsewhere; names the line.
    """

    def __init__(self, path: str | Path, column: str | None = None) -> None:
        table = read_csv(path, missing_cells=("",))
        self.folder, columns = Path(path).resolve().parent, table.columns
        where = _column(list(columns), IMAGE_COLUMNS, str(path))
        what = _column(list(columns), TEXT_COLUMNS if column is None else (column,), str(path))
        self.files, self.captions = columns[where], columns[what]
        self.places: dict[str, Path] = {}
        for row, (name, caption) in enumerate(zip(self.files, self.captions, strict=True)):
            at = f"{path}, {table.where(row)}"
            if name is None or caption is None:
                raise ValueError(f"{at}: expected a path and a caption, got {name!r} and {caption!r}")
            if name in self.places:
                continue
            file = (self.folder / name).resolve()
            if not file.is_relative_to(self.folder):
                raise ValueError(f"{at}: {name!r} leads out of the folder {self.folder}")
            if not file.is_file():
                raise FileNotFoundError(f"{at}: {file}: no such file")
            self.places[name] = file
        order = {file: number for number, file in enumerate(dict.fromkeys(self.places.values()))}
        self.ids = {name: order[file] for name, file in self.places.items()}
        sizes = [file.stat().st_size for file in self.places.values()]
        self.print = _print((self.files, self.captions, sizes))

    def __len__(self) -> int:
        return len(self.files)

    def picture(self, number: int) -> Tensor:
        return read_picture(self.places[self.files[number]])

    def caption(self, number: int) -> str:
        caption: str = self.captions[number]
        return caption

    def picture_id(self, number: int) -> int:
        return self.ids[self.files[number]]


class HubPairs:
    """A column of pictures and one of texts, or of lists of them, of a data set of the package `datasets`.

    Args:
        name: on the hub, or a folder.
        split: which part.
        column: the column of captions; None for one of the usual names.

    Raises:
        ValueError: if it cannot be had, lacks such columns, or a row has no caption; names the row.
        ImportError: if `datasets` is missing.
    """

    def __init__(self, name: str, split: str | None = None, column: str | None = None) -> None:
        data, self.source = open_hugging_face(name, split, None)
        library = needed("datasets", "datasets", "hf:...")
        pictures = [column for column, kind in data.features.items() if isinstance(kind, library.Image)]
        if len(pictures) != 1:
            raise ValueError(
                f"{self.source}: expected one column of pictures, got {pictures}, among {data.column_names}"
            )
        text = _column(data.column_names, TEXT_COLUMNS if column is None else (column,), self.source)
        self.rows: list[tuple[int, str]] = []
        for row, given in enumerate(read_column(data, text, self.source)):
            captions = given if isinstance(given, list) else [given]
            if not captions or not all(isinstance(caption, str) and caption.strip() for caption in captions):
                raise ValueError(
                    f"{self.source}, row {row}: expected a caption in column {text!r}, got {given!r}"
                )
            self.rows += [(row, caption) for caption in captions]
        self.image = pictures[0]
        self.data = data.select_columns(pictures).cast_column(self.image, library.Image(decode=False))
        self.print = _print(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def picture(self, number: int) -> Tensor:
        row, _ = self.rows[number]
        return read_stored_image(self.data[row][self.image], f"{self.source}, row {row}", "RGB")

    def caption(self, number: int) -> str:
        return self.rows[number][1]

    def picture_id(self, number: int) -> int:
        return self.rows[number][0]


class ScenePairs:
    """Scenes and their captions."""

    def __init__(self, scenes: Scenes) -> None:
        self.scenes = scenes.select_columns(["pixels", "caption"])
        self.print = "scenes"  # what they depend on is the recipe's

    def __len__(self) -> int:
        return len(self.scenes)

    def picture(self, number: int) -> Tensor:
        pixels: Tensor = self.scenes.select_columns(["pixels"])[number]["pixels"]
        return pixels

    def caption(self, number: int) -> str:
        return str(self.scenes.select_columns(["caption"])[number]["caption"])

    def picture_id(self, number: int) -> int:
        return number


def open_pairs(word: str) -> Pairs:
    """Opens pairs by their data word: ``csv:FILE`` or a CSV file, or ``hf:NAME[SPLIT]``.

    Behind ``csv:`` and ``hf:`` the column of captions may be named: ``csv:FILE#COLUMN``.

    Raises:
        FileNotFoundError, ValueError: if there is nothing of the kind.
    """
    found = parse(word)
    if found.kind == "hf":
        return HubPairs(found.what, found.split, found.column)
    if found.kind == "csv" or Path(found.what).suffix == ".csv":
        return FilePairs(found.what, found.column)
    raise ValueError(f"data: expected scenes, a CSV file of paths and captions, or hf:NAME, got {word!r}")


def all_captions(pairs: Pairs) -> list[str]:
    """Lists every caption."""
    return [pairs.caption(number) for number in range(len(pairs))]


class _Samples:
    """What the loader takes by number: picture, token ids, and which picture it is."""

    def __init__(self, pairs: Pairs, processor: ImageProcessor, encode: Encode, width: int, pad: int) -> None:
        self.pairs, self.processor, self.encode, self.width, self.pad = pairs, processor, encode, width, pad

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        if isinstance(self.pairs, ScenePairs):  # both at once: the scene is drawn once
            sample = self.pairs.scenes[number]
            pixels, caption = sample["pixels"], sample["caption"]
        else:
            pixels, caption = self.pairs.picture(number), self.pairs.caption(number)
        ids = torch.full((self.width,), self.pad)
        found = self.encode([caption])[0]
        ids[: len(found)] = found
        return self.processor.sized(pixels), ids, torch.tensor(self.pairs.picture_id(number))


def matched(captions: Tensor, pictures: Tensor) -> Tensor:
    """Numbers pairs so that those are equal that have the same caption or picture, or both with a third.

    Shape:
        captions and pictures ``(N,)``, whole numbers -> ``(N,)``, int64.
    """
    if len(pictures.unique()) == len(pictures):
        return captions
    same = (captions[:, None] == captions) | (pictures[:, None] == pictures)
    while not torch.equal(same, further := same.float() @ same.float() > 0):
        same = further
    return same.int().argmax(1)  # the first of those that go together


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
    """Makes batches of (pixels, token ids, numbers), equal for pairs of equal captions or of one picture.

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

    def finish(
        pixels: Tensor, ids: Tensor, pictures: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, ...]:
        if swap:
            drawn = torch.rand(len(pixels), 4, generator=generator)
            order = drawn[:, :3].argsort(1)[:, :, None, None].expand_as(pixels)
            swapped = (drawn[:, 3] < swap) & ~torch.isin(ids, named).any(1)
            pixels = torch.where(swapped[:, None, None, None], pixels.gather(1, order), pixels)
        if tint:
            light = 1 + tint * (2 * torch.rand(len(pixels), 3, 1, 1, generator=generator) - 1)
            pixels = (pixels * light).clamp(0, 255)
        longest = int((ids != pad).sum(1).max())
        _, captions = torch.unique(ids, dim=0, return_inverse=True)
        return processor.normalised(pixels), ids[:, :longest], matched(captions, pictures)

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


def _print(content: object) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()[:16]
