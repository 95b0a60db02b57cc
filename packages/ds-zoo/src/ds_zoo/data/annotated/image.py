"""AnnotatedImage: a picture and what is where on it."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from ds_core.checks import shape
from torch import Tensor

from ds_zoo.data.processor import read_picture


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """A picture, and of each object on it box, class and perhaps mask.

    Attributes:
        pixels: uint8 ``(3, H, W)``.
        boxes: left, top, right, bottom in pixels, float32 ``(n, 4)``; right and bottom are the first column
            and row outside.
        labels: the number of each object's class, int64 ``(n,)``.
        masks: which pixels are the object's, bool ``(n, H, W)``; None where only boxes are wanted or known.
        crowd: of each object whether it is a crowd, of which nobody counted the members, bool ``(n,)``.
        semantic: the class of each pixel, int64 ``(H, W)``; None where nobody asked or knows.
        key: what the source calls the picture: a number in its file, or a name.
        areas: pixels of each object, as the source has it, float32 ``(n,)``; None where masks or boxes say.
    """

    pixels: Tensor
    boxes: Tensor
    labels: Tensor
    masks: Tensor | None = None
    crowd: Tensor | None = None
    semantic: Tensor | None = None
    key: int | str = 0
    areas: Tensor | None = None

    def __post_init__(self) -> None:
        n, size = len(self.labels), tuple(self.pixels.shape[1:])
        expected = {
            **{"boxes": (n, 4), "masks": (n, *size), "crowd": (n,)},
            **{"semantic": size, "areas": (n,)},
        }
        for name, wanted in expected.items():
            tensor = getattr(self, name)
            if tensor is not None and tensor.shape != wanted:
                raise ValueError(
                    f"image {self.key}: expected {name} {wanted} for {n} labels and pixels "
                    f"{shape(self.pixels)}, got {shape(tensor)}"
                )

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Reads a picture of which nothing is known.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it cannot be read; names it.
        """
        pixels = read_picture(path)
        return cls(pixels, torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), key=str(path))

    @property
    def size(self) -> tuple[int, int]:
        """Returns height and width in pixels."""
        return self.pixels.shape[1], self.pixels.shape[2]

    def select(self, rows: Tensor) -> Self:
        """Returns the picture with some of its objects: their numbers, or a bool for each."""
        parts: dict[str, Any] = {
            name: None if (t := getattr(self, name)) is None else t[rows]
            for name in ("boxes", "labels", "masks", "crowd", "areas")
        }
        return replace(self, **parts)

    def without_crowds(self) -> Self:
        """Returns the picture with what can be counted: the objects that a model is to find."""
        return self if self.crowd is None else self.select(~self.crowd)


class AnnotatedImages(Protocol):
    """Annotated images by number, read when they are asked for.

    Attributes:
        class_names: one for each class.
        sizes: height and width of each image; None where nobody knows before it is read.
        print: what tells these data from others.
        stuff: the numbers of the classes of which an image has one region at most, such as sky, where every
            pixel has a class or is void; None where objects alone are known, and the rest is background.
    """

    class_names: tuple[str, ...]
    sizes: list[tuple[int, int]] | None
    print: str
    stuff: frozenset[int] | None

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> AnnotatedImage: ...


class Part:
    """Some of the images of a source.

    Args:
        images: the source.
        rows: their numbers, in the order wanted.
    """

    def __init__(self, images: AnnotatedImages, rows: list[int]) -> None:
        self.images, self.rows = images, rows
        self.class_names, self.print, self.stuff = images.class_names, images.print, images.stuff
        self.sizes = None if images.sizes is None else [images.sizes[row] for row in rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> AnnotatedImage:
        return self.images[self.rows[number]]


class Remarks:
    """Collects what is wrong with annotations and can be passed over, and says it once.

    Args:
        source: what is read, as the warning calls it.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.counts: Counter[str] = Counter()
        self.first: dict[str, str] = {}

    def add(self, what: str, where: Any, count: int = 1) -> None:
        """Notes a fault: what it is and what is done about it, and where the first one was."""
        self.counts[what] += count
        self.first.setdefault(what, str(where))

    def warn(self) -> None:
        """Says what was noted, if anything."""
        if self.counts:
            told = [f"{count} {what} (first: {self.first[what]})" for what, count in self.counts.items()]
            warnings.warn(f"{self.source}: " + "; ".join(told), stacklevel=3)


def text_of(path: Path) -> str:
    """Reads a text file.

    Raises:
        ValueError: if it is no UTF-8; names it.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected UTF-8 text ({error})") from error


def check_size(file: Path, pixels: Tensor, size: tuple[int, int], source: str) -> None:
    """Checks that a picture ``(C, H, W)`` has the (height, width) that its annotations are of.

    Raises:
        ValueError: if not; names it.
    """
    found = (pixels.shape[1], pixels.shape[2])
    if found != size:
        turned = "; the camera's rotation is undone" if found == size[::-1] else ""
        raise ValueError(
            f"{file}: expected {size[1]} x {size[0]} pixels, as {source} says, got {found[1]} x {found[0]}"
            f"{turned}"
        )


def clipped(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Cuts off what of boxes ``(n, 4)`` lies outside a picture of (height, width)."""
    height, width = size
    limits = boxes.new_tensor([width, height, width, height])
    return torch.minimum(boxes.clamp(min=0), limits)


def box_of(mask: Tensor) -> list[float]:
    """Returns the box around a mask ``(H, W)``; of an empty one 0, 0, 0, 0."""
    columns, rows = mask.any(0).nonzero().flatten(), mask.any(1).nonzero().flatten()
    if not len(columns):
        return [0.0, 0.0, 0.0, 0.0]
    return [float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)]


def kept_boxes(boxes: list[list[float]], size: tuple[int, int], where: Any, remarks: Remarks) -> list[bool]:
    """Says which boxes have an area inside the picture, and notes those that have none or stick out.

    Args:
        boxes: corners.
        size: (height, width) of the picture.
        where: what the picture is called.
        remarks: takes what is noted.
    """
    height, width = size
    kept = []
    for left, top, right, bottom in boxes:
        if not (right > left and bottom > top):  # nor if one is no number
            remarks.add("boxes without area are left out", where)
            kept.append(False)
        elif min(right, width) <= max(left, 0) or min(bottom, height) <= max(top, 0):
            remarks.add("boxes outside their image are left out", where)
            kept.append(False)
        else:
            if left < -1 or top < -1 or right > width + 1 or bottom > height + 1:
                remarks.add("boxes that reach beyond their image are cut off there", where)
            kept.append(True)
    return kept
