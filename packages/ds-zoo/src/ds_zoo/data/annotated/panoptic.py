"""COCO's panoptic format: one JSON file, a folder of pictures, and one of PNGs that number their segments."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from ds_core.data.read_image import read_image
from ds_core.training.files import read_json

from ds_zoo.data.annotated.coco import by_id_of, field_of, folder_of, inside, rows_of, size_of
from ds_zoo.data.annotated.image import AnnotatedImage, Remarks, box_of, check_size


class PanopticImages:
    """Pictures cut into segments, things and stuff, in COCO's panoptic format.

    The segment of a pixel is red + 256 green + 65536 blue of the PNG, 0 where nobody knows. Categories keep
    their order but get numbers without gaps; those whose ``isthing`` is 0 are stuff.

    Args:
        path: the JSON file; the PNGs lie in the folder beside it that has its name without the ending.
        folder: of the pictures; None to look beside the file, in its folder and in ``images`` there.

    What is wrong and can be passed over is told, as a warning: annotations of images that the file does not
    list and images without an annotation, which are left out; segments without a pixel. Everything else is an
    error.

    Raises:
        FileNotFoundError: if the file, a picture or a PNG is missing.
        ValueError: if the file is damaged, an id occurs twice, or a category is unknown; names it. Reading an
            image raises it if a PNG is of another size or numbers a segment that the file does not list.
    """

    def __init__(self, path: str | Path, folder: str | Path | None = None) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"{path}: no such file; expected COCO's panoptic JSON")
        content = read_json(self.path, "annotations in COCO's panoptic format")
        images, annotations, categories = (
            rows_of(self.path, content, name) for name in ("images", "annotations", "categories")
        )
        by_category = by_id_of(self.path, "category", categories)
        self.class_names = tuple(str(field_of(self.path, c, "name", "category")) for c in categories)
        if len(set(self.class_names)) < len(self.class_names):
            raise ValueError(f"{path}: expected different names of categories, got {self.class_names}")
        self.places = {key: number for number, key in enumerate(by_category)}
        self.stuff: frozenset[int] | None = frozenset(
            self.places[key] for key, one in by_category.items() if not one.get("isthing", 1)
        )
        by_image = by_id_of(self.path, "image", images)
        remarks = Remarks(str(path))
        found: dict[Any, dict[str, Any]] = {}
        for one in annotations:
            image = field_of(self.path, one, "image_id", "annotation")
            if image not in by_image:
                remarks.add("annotations of images that it does not list are left out", image)
            elif image in found:
                raise ValueError(f"{path}: two annotations are of image {image}")
            else:
                self._check(image, one)
                found[image] = one
        bare = [image["file_name"] for key, image in by_image.items() if key not in found]
        if bare:
            remarks.add("images without an annotation are left out", bare[0], len(bare))
        remarks.warn()
        if not found:
            raise ValueError(f"{path}: expected annotations of its images, got none")
        self.rows = [(by_image[key], one) for key, one in found.items()]
        self.folder = folder_of(self.path, [image for image, _ in self.rows], folder)
        self.maps = self.path.parent / self.path.stem
        names = [
            inside(self.path, field_of(self.path, one, "file_name", "annotation")) for _, one in self.rows
        ]
        missing = [name for name in names if not (self.maps / name).is_file()]
        if missing:
            raise FileNotFoundError(
                f"{path}: {len(missing)} of {len(names)} PNGs are missing in {self.maps}, the first "
                f"{missing[0]}"
            )
        self.sizes: list[tuple[int, int]] | None = [size_of(self.path, image) for image, _ in self.rows]
        seen = json.dumps([images, annotations, categories], sort_keys=True)
        self.print = hashlib.sha256(seen.encode()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> AnnotatedImage:
        image, one = self.rows[number]
        file = self.folder / image["file_name"]
        pixels = read_image(file, str(file))
        drawn = self.maps / one["file_name"]
        red, green, blue = read_image(drawn, str(drawn)).long()
        ids = red + (green << 8) + (blue << 16)
        assert self.sizes is not None
        for what, found in ((file, pixels), (drawn, ids[None])):
            check_size(what, found, self.sizes[number], str(self.path))
        segments = {segment["id"]: segment for segment in one["segments_info"]}
        there = set(ids.unique().tolist()) - {0}
        unknown = sorted(there - segments.keys())
        if unknown:
            count = int((ids == unknown[0]).sum())
            raise ValueError(
                f"{drawn}: {count} pixels are of segment {unknown[0]}, which {self.path} does not list"
            )
        remarks = Remarks(str(drawn))
        for key in segments.keys() - there:
            remarks.add("segments have no pixel and are left out", key)
        remarks.warn()
        kept = [segment for key, segment in segments.items() if key in there]
        masks = torch.stack([ids == segment["id"] for segment in kept]) if kept else (ids < 0)[None][:0]
        return AnnotatedImage(
            pixels,
            torch.tensor([box_of(mask) for mask in masks]).view(-1, 4),
            torch.tensor([self.places[segment["category_id"]] for segment in kept], dtype=torch.int64),
            masks,
            torch.tensor([bool(segment.get("iscrowd", 0)) for segment in kept], dtype=torch.bool),
            key=image["id"],
        )

    def _check(self, image: Any, one: dict[str, Any]) -> None:
        """Checks the segments that an annotation lists."""
        segments = one.get("segments_info")
        if not isinstance(segments, list) or not all(isinstance(s, dict) for s in segments):
            raise ValueError(f"{self.path}: image {image}: expected a list segments_info, got {segments!r}")
        for key, segment in by_id_of(self.path, "segment", segments).items():
            category = field_of(self.path, segment, "category_id", "segment")
            if category not in self.places:
                raise ValueError(
                    f"{self.path}: segment {key} of image {image}: unknown category_id {category}"
                )
