"""A folder of pictures with ``metadata.jsonl``: a line of JSON for each picture, as `datasets` reads it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from ds_core.data.read_image import ENDINGS, read_image

from ds_zoo.data.annotated.image import AnnotatedImage, Remarks, clipped, kept_boxes, text_of

FILE = "metadata.jsonl"


class MetadataImages:
    """Pictures annotated line by line.

    ``{"file_name": "1.png", "objects": {"bbox": [[left, top, width, height], ...], "categories": [0, ...]}}``

    Categories may be names or numbers; ``"category"`` and ``"label"`` are taken for ``"categories"``. Where
    there is ``"iscrowd"``, 1 stands for a crowd.

    Args:
        folder: of the pictures and ``metadata.jsonl``.
        classes: their names in order; None for all that occur, sorted.

    Raises:
        FileNotFoundError: if the folder, the file or a picture is missing.
        ValueError: if a line is damaged, a picture is listed twice, or a class is unknown; names the line.
    """

    stuff: frozenset[int] | None = None

    def __init__(self, folder: str | Path, classes: tuple[str, ...] | None = None) -> None:
        self.folder = Path(folder)
        path = self.folder / FILE
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; expected a line of JSON for each picture")
        remarks = Remarks(str(path))
        self.rows: list[dict[str, Any]] = []
        for number, line in enumerate(text_of(path).split("\n"), 1):
            if line.strip():
                self.rows.append(_row(f"{path}, line {number}", line))
        if not self.rows:
            raise ValueError(f"{path}: expected lines, got none")
        names = [row["file_name"] for row in self.rows]
        twice = [name for name in names if names.count(name) > 1] if len(set(names)) < len(names) else []
        if twice:
            raise ValueError(f"{path}: {twice[0]!r} is listed twice")
        for name in names:
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise ValueError(f"{path}: file_name {name!r} leads out of the folder")
            if not (self.folder / name).is_file():
                raise FileNotFoundError(f"{path}: the picture {name} is missing")
        self.class_names = classes_of([row["objects"] for row in self.rows], str(path), classes)
        listed = {self.folder / name for name in names}
        for file in sorted(self.folder.rglob("*")):
            if file.suffix.lower() in ENDINGS and file not in listed:
                remarks.add("pictures in the folder are not listed and left out", file.name)
        remarks.warn()
        self.sizes: list[tuple[int, int]] | None = None
        self.print = hashlib.sha256(repr((self.rows, self.class_names)).encode()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> AnnotatedImage:
        row = self.rows[number]
        file = self.folder / row["file_name"]
        return image_of(read_image(file, str(file)), row["objects"], self.class_names, row["file_name"])


Objects = tuple[
    list[list[float]], list[Any], list[bool]
]  # corners of boxes; of each its category, and if a crowd


def objects_of(objects: Any, where: str) -> Objects:
    """Reads the objects of a picture: lists of boxes and categories, or a list of both for each object.

    Args:
        objects: as `datasets` has them; None for none.
        where: what messages call the picture.

    Raises:
        ValueError: if there are not as many categories as boxes, or a box or a category is none.
    """
    try:
        if isinstance(objects, list):
            names = sorted({name for one in objects for name in one})
            objects = {name: [one[name] for one in objects] for name in names}
        objects = objects or {}
        boxes = [[float(number) for number in box] for box in objects.get("bbox", [])]
        categories: list[Any] = next(
            (objects[n] for n in ("categories", "category", "label") if n in objects), []
        )
        crowd = [bool(one) for one in objects.get("iscrowd", [False] * len(boxes))]
        if {len(categories), len(crowd)} != {len(boxes)} or any(len(box) != 4 for box in boxes):
            raise ValueError(
                f"{len(boxes)} boxes of four numbers and as many categories, got {len(categories)}"
            )
        for category in categories:
            if isinstance(categories, str) or not isinstance(category, (str, int)):
                raise ValueError(f"categories as names or numbers, got {categories!r}")
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"{where}: expected objects with bbox and categories ({error})") from error
    corners = [[left, top, left + width, top + height] for left, top, width, height in boxes]
    return corners, list(categories), crowd


def classes_of(rows: list[Objects], where: str, classes: tuple[str, ...] | None) -> tuple[str, ...]:
    """Returns the classes: those given, or all that occur, sorted.

    Args:
        rows: the objects of all pictures.
        where: what messages call the source.
        classes: their names in order; None for all that occur.

    Raises:
        ValueError: if one that occurs is not among those given.
    """
    found = {category for _, categories, _ in rows for category in categories}
    if classes is None:
        numbers = all(isinstance(category, int) for category in found)
        return tuple(map(str, sorted(found) if numbers else sorted({*map(str, found)})))
    for category in found:
        if str(category) not in classes:
            raise ValueError(f"{where}: expected classes of {', '.join(classes)}, got {category!r}")
    return classes


def image_of(pixels: torch.Tensor, objects: Objects, classes: tuple[str, ...], where: str) -> AnnotatedImage:
    """Joins a picture and its objects; boxes without area or outside it are told and left out."""
    size = (pixels.shape[1], pixels.shape[2])
    corners, categories, crowd = objects
    remarks = Remarks(where)
    kept = kept_boxes(corners, size, where, remarks)
    remarks.warn()
    boxes = torch.tensor(corners, dtype=torch.float32).view(-1, 4)
    labels = torch.tensor([classes.index(str(c)) for c in categories], dtype=torch.int64)
    crowds = torch.tensor(crowd, dtype=torch.bool)
    image = AnnotatedImage(pixels, clipped(boxes, size), labels, crowd=crowds, key=where)
    return image.select(torch.tensor(kept, dtype=torch.bool))


def _row(where: str, line: str) -> dict[str, Any]:
    """Reads one line."""
    try:
        content = json.loads(line)
        name, objects = str(content["file_name"]), content.get("objects")
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(
            f"{where}: expected file_name and objects with bbox and categories ({error})"
        ) from error
    return {"file_name": name, "objects": objects_of(objects, where)}
