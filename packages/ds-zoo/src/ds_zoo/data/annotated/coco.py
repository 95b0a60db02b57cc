"""COCO's format: one JSON file of images, categories and annotations, beside a folder of pictures."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from ds_core.data.optional import needed
from ds_core.data.read_image import ENDINGS, read_image
from ds_core.training.files import read_json
from torch import Tensor

from ds_zoo.data.annotated.image import AnnotatedImage, Remarks, check_size, clipped, kept_boxes


class CocoImages:
    """Pictures annotated in COCO's format for detection and instances.

    Categories keep their order but get numbers without gaps; ``category_ids`` holds the file's own. Boxes and
    masks are those of the picture as it is shown, a camera's rotation undone.

    Args:
        path: the JSON file.
        folder: of the pictures; None to look beside the file, in its folder and in ``images`` there.
        masks: whether masks are read, from polygons or run lengths.

    What is wrong and can be passed over is told once, as a warning: boxes without area or outside their
    image, which are left out; boxes that reach beyond it, which are cut off; annotations of images that the
    file does not list; pictures in the folder that it does not list. Everything else is an error.

    Raises:
        FileNotFoundError: if the file, the folder or a picture is missing.
        ValueError: if the file is damaged, an id occurs twice, or a category is unknown; names it. Reading
            an image raises it if the picture or a mask is of another size than the file says.
        ImportError: with masks, if `pycocotools` is missing.
    """

    stuff: frozenset[int] | None = None

    def __init__(self, path: str | Path, folder: str | Path | None = None, *, masks: bool = False) -> None:
        self.path, self.masks = Path(path), masks
        if not self.path.is_file():
            raise FileNotFoundError(f"{path}: no such file; expected COCO's JSON")
        content = read_json(self.path, "annotations in COCO's format")
        remarks = Remarks(str(path))
        images, annotations, categories = (
            rows_of(self.path, content, name) for name in ("images", "annotations", "categories")
        )
        by_id = by_id_of(self.path, "category", categories)
        self.category_ids = list(by_id)
        self.class_names = tuple(str(field_of(self.path, c, "name", "category")) for c in categories)
        if len(set(self.class_names)) < len(self.class_names):
            raise ValueError(f"{path}: expected different names of categories, got {self.class_names}")
        numbers = {key: number for number, key in enumerate(self.category_ids)}
        self.images = list(by_id_of(self.path, "image", images).values())
        self.folder = folder_of(self.path, self.images, folder)
        self.sizes: list[tuple[int, int]] | None = [size_of(self.path, image) for image in self.images]
        self.objects: list[list[dict[str, Any]]] = [[] for _ in self.images]
        place = {image["id"]: number for number, image in enumerate(self.images)}
        for key, one in by_id_of(self.path, "annotation", annotations).items():
            image, category = (
                field_of(self.path, one, name, "annotation") for name in ("image_id", "category_id")
            )
            if image not in place:
                remarks.add("annotations of images that it does not list are left out", f"annotation {key}")
            elif category not in numbers:
                raise ValueError(f"{path}: annotation {key}: unknown category_id {category}")
            else:
                self.objects[place[image]].append({**one, "label": numbers[category]})
        for number, (image, size) in enumerate(zip(self.images, self.sizes, strict=True)):
            found = self.objects[number]
            for one in found:
                left, top, width, height = self._bbox(one)
                one["box"] = [left, top, left + width, top + height]
            kept = kept_boxes([one["box"] for one in found], size, image["file_name"], remarks)
            self.objects[number] = [one for one, keep in zip(found, kept, strict=True) if keep]
        self._note_strangers(remarks)
        remarks.warn()
        seen = json.dumps([images, annotations, categories, masks], sort_keys=True)
        self.print = hashlib.sha256(seen.encode()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> AnnotatedImage:
        image, found = self.images[number], self.objects[number]
        pixels = read_image(self.folder / image["file_name"], str(self.folder / image["file_name"]))
        assert self.sizes is not None
        size = self.sizes[number]
        check_size(self.folder / image["file_name"], pixels, size, str(self.path))
        boxes = torch.tensor([one["box"] for one in found], dtype=torch.float32).view(-1, 4)
        areas = [one.get("area") for one in found]
        known = all(isinstance(area, (int, float)) for area in areas)
        return AnnotatedImage(
            pixels,
            clipped(boxes, size),
            torch.tensor([one["label"] for one in found], dtype=torch.int64),
            self._masks(found, size) if self.masks else None,
            torch.tensor([bool(one.get("iscrowd", 0)) for one in found], dtype=torch.bool),
            key=image["id"],
            areas=torch.tensor(areas, dtype=torch.float32) if known else None,
        )

    def _masks(self, found: list[dict[str, Any]], size: tuple[int, int]) -> Tensor:
        """Decodes the masks of an image's objects."""
        masks = torch.zeros(len(found), *size, dtype=torch.bool)
        for row, one in enumerate(found):
            if not one.get("segmentation"):
                raise ValueError(
                    f"{self.path}: annotation {one['id']}: expected a segmentation, got none; the file has "
                    "boxes only"
                )
            try:
                masks[row] = decoded(one["segmentation"], size)
            except ValueError as error:
                raise ValueError(f"{self.path}: annotation {one['id']}: {error}") from error
        return masks

    def _bbox(self, one: dict[str, Any]) -> tuple[float, float, float, float]:
        box = one.get("bbox")
        try:
            left, top, width, height = (float(number) for number in box)  # type: ignore[union-attr]
        except (TypeError, ValueError):
            raise ValueError(
                f"{self.path}: annotation {one['id']}: expected bbox [left, top, width, height], got {box}"
            ) from None
        return left, top, width, height

    def _note_strangers(self, remarks: Remarks) -> None:
        """Notes pictures beside those listed, but for those that another file's list may be of."""
        folders = {(self.folder / image["file_name"]).parent for image in self.images}
        listed = {self.folder / image["file_name"] for image in self.images}
        others = list(self.path.parent.glob("*.json"))
        if len(others) > 1:  # train.json, test.json: each lists its part
            return
        for folder in sorted(folders):
            for file in sorted(folder.iterdir()):
                if file.suffix.lower() in ENDINGS and file not in listed:
                    remarks.add("pictures in its folder are not listed and left out", file.name)


def decoded(segmentation: Any, size: tuple[int, int]) -> Tensor:
    """Decodes COCO's mask: polygons, or run lengths, plain or packed.

    Args:
        segmentation: as COCO has it.
        size: (height, width) of the image.

    Returns:
        bool ``(H, W)``.

    Raises:
        ValueError: if it is of another size, or damaged.
        ImportError: if `pycocotools` is missing.
    """
    mask = coco_module("mask")
    height, width = size
    try:
        if isinstance(segmentation, dict):
            if list(segmentation["size"]) != [height, width]:
                raise ValueError(f"expected a mask of {[height, width]}, got {segmentation['size']}")
            counts = segmentation["counts"]
            packed = isinstance(counts, (str, bytes))
            pixels = sum(unpacked(counts) if packed else counts)
            if pixels != height * width:  # pycocotools would leave what is in memory in the others
                raise ValueError(f"expected runs of {height * width} pixels together, got {pixels}")
            runs = segmentation if packed else mask.frPyObjects(segmentation, height, width)
        else:
            polygons = [polygon for polygon in segmentation if len(polygon) >= 6]  # others have no area
            if not polygons or any(len(polygon) % 2 for polygon in polygons):
                raise ValueError("expected polygons of at least three points, [x, y, x, y, x, y, ...]")
            runs = mask.merge(mask.frPyObjects(polygons, height, width))
        return torch.from_numpy(mask.decode(runs)).bool()
    except ValueError:
        raise
    except Exception as error:  # pycocotools raises whatever it stumbles over
        raise ValueError(f"a segmentation that cannot be read ({error})") from error


def unpacked(counts: str | bytes) -> list[int]:
    """Unpacks COCO's run lengths.

    A character, less 48, holds five bits of a number, and a sixth that says whether more of it follow. From
    the fourth on, the numbers are the differences from the last run but one.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts.encode() if isinstance(counts, str) else counts:
        bits = character - 48
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:  # below 0
                value -= 1 << shift
            runs.append(value + runs[-2] if len(runs) > 2 else value)
            value = shift = 0
    return runs


def encoded(mask: Tensor) -> dict[str, Any]:
    """Packs a mask, bool ``(H, W)``, as COCO's run lengths."""
    flat = mask.to(torch.uint8).T.contiguous().T.cpu().numpy()  # column by column in memory
    runs = coco_module("mask").encode(flat)
    return {"size": list(mask.shape), "counts": runs["counts"].decode()}


def coco_module(name: str) -> Any:
    """Imports a module of `pycocotools`.

    Raises:
        ImportError: says how to install it.
    """
    what = "COCO's way with masks and precision"
    return needed(f"pycocotools.{name}", "pycocotools", what, extra="detection", of="ds-zoo")


def folder_of(path: Path, images: list[dict[str, Any]], folder: str | Path | None) -> Path:
    """Finds the folder of the pictures, and that all of them are there.

    Args:
        path: the JSON file.
        images: as it lists them.
        folder: the folder; None to look beside the file, in its folder and in ``images`` there.

    Raises:
        FileNotFoundError: if a picture is missing.
        ValueError: if a name leads elsewhere.
    """
    places = [Path(folder)] if folder is not None else [path.parent, path.parent / "images"]
    names = [inside(path, field_of(path, image, "file_name", "image")) for image in images]
    missing = {place: [name for name in names if not (place / name).is_file()] for place in places}
    best = min(places, key=lambda place: len(missing[place]))
    if missing[best]:
        raise FileNotFoundError(
            f"{path}: {len(missing[best])} of {len(names)} pictures are missing, the first "
            f"{missing[best][0]}; looked in {' and '.join(map(str, places))}; name the folder behind #"
        )
    return best


def inside(path: Path, name: Any) -> str:
    """Returns a file's name, if it does not lead out of its folder."""
    if Path(str(name)).is_absolute() or ".." in Path(str(name)).parts:
        raise ValueError(f"{path}: file_name {name!r} leads out of the folder")
    return str(name)


def rows_of(path: Path, content: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Returns a list of a file's, of which annotations alone may be empty."""
    rows = content.get(name)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path}: not COCO's format: expected a list of {name}")
    if not rows and name != "annotations":
        raise ValueError(f"{path}: expected {name}, got none")
    return rows


def by_id_of(path: Path, what: str, rows: list[dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    """Sorts rows by their ids, none of which may occur twice."""
    found: dict[Any, dict[str, Any]] = {}
    for row in rows:
        key = field_of(path, row, "id", what)
        if key in found:
            raise ValueError(f"{path}: two {what} entries have the id {key}")
        found[key] = row
    return found


def size_of(path: Path, image: dict[str, Any]) -> tuple[int, int]:
    """Returns height and width of an image, as the file says.

    Raises:
        ValueError: if one is missing, or no whole number.
    """
    sides = []
    for name in ("height", "width"):
        given = field_of(path, image, name, "image")
        try:
            sides.append(int(given))
        except (TypeError, ValueError):
            raise ValueError(
                f"{path}: image {image['id']}: expected a whole number as {name}, got {given!r}"
            ) from None
    return sides[0], sides[1]


def field_of(path: Path, row: dict[str, Any], name: str, what: str) -> Any:
    """Returns a field of a row, which must be there."""
    if name not in row:
        raise ValueError(f"{path}: {what} {row.get('id', '?')}: has no {name}")
    return row[name]
