"""Scenes as files: folders of images by class, captions as CSV, boxes and masks as COCO JSON, label maps."""

from __future__ import annotations

import csv
import itertools
import json
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from ds_core.training.files import write_text
from PIL import Image
from torch import Tensor

from ds_zoo.data.scenes.captions import captions
from ds_zoo.data.scenes.scene import Scene
from ds_zoo.data.scenes.shapes import KINDS, RGB
from ds_zoo.data.scenes.source import Scenes, main_shape, semantic

NOTHING = "nothing"  # the class of a picture without shapes
WRITTEN = ("images", "semantic", "captions.csv", "coco.json", "classes.csv")


def write_scenes(scenes: Scenes, out: str | Path) -> None:
    """Writes scenes as files that any tool reads.

    The folder then holds ``images/KIND/000000.png`` (a folder for each class: of the shape of which most can
    be seen), ``captions.csv`` (columns path and caption, one line for each caption), ``coco.json``
    (boxes and masks, COCO's format, the classes numbered from 1), ``semantic/000000.png`` (the class of each
    pixel, a palette picture) and ``classes.csv`` (the names of its numbers: 0 background, then the kinds).

    Args:
        scenes: what to write.
        out: the folder, made if needed.

    Raises:
        FileExistsError: if there is something of these names already.
        NotADirectoryError: if it is a file.
    """
    out = Path(out)
    if out.is_file():
        raise NotADirectoryError(f"{out}: is a file; expected a folder for scenes, or a new name for one")
    if there := [name for name in WRITTEN if (out / name).exists()]:
        raise FileExistsError(f"{out}: holds {', '.join(there)} already; give another folder, or remove them")
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    table = StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("path", "caption"))
    for name in ("images", "semantic"):
        (out / name).mkdir(parents=True, exist_ok=True)
    for number in range(len(scenes)):
        scene = scenes.scene(number)
        main = main_shape(scene, "kind")
        folder = out / "images" / (KINDS[main] if main >= 0 else NOTHING)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{number:06d}.png"
        scene.image.save(file)
        name = file.relative_to(out).as_posix()
        rows.writerows((name, caption) for caption in captions(scene))
        _label_map(semantic(scene)).save(out / "semantic" / f"{number:06d}.png")
        width, height = scene.image.size
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        annotations += _annotations(scene, number, len(annotations) + 1)
    write_text(out / "captions.csv", table.getvalue())
    content = {
        "info": {"description": f"scenes of shapes, seed {scenes.seed}, drawn by ds-zoo"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": k, "name": kind, "supercategory": "shape"} for k, kind in enumerate(KINDS, 1)],
    }
    write_text(out / "coco.json", json.dumps(content) + "\n")
    classes = "".join(f"{name},{number}\n" for number, name in enumerate(("background", *KINDS)))
    write_text(out / "classes.csv", "name,id\n" + classes)


def _annotations(scene: Scene, image: int, first: int) -> list[dict[str, Any]]:
    found = []
    for k, (shape, mask, box) in enumerate(zip(scene.shapes, scene.masks, scene.boxes.tolist(), strict=True)):
        left, top, right, bottom = box
        found.append(
            {
                "id": first + k,
                "image_id": image,
                "category_id": KINDS.index(shape.kind) + 1,
                "bbox": [left, top, right - left, bottom - top],
                "area": int(mask.sum()),
                "iscrowd": 0,
                "segmentation": {"size": list(mask.shape), "counts": run_lengths(mask)},
                "attributes": {"colour": shape.colour, "size": shape.size},
            }
        )
    return found


def run_lengths(mask: Tensor) -> list[int]:
    """Returns how long the runs of 0 and of 1 are, by turns, 0 first, column by column: COCO's plain RLE."""
    flat = mask.T.flatten().to(torch.int8)
    edges = (flat[1:] != flat[:-1]).nonzero().flatten() + 1
    ends = [0, *edges.tolist(), len(flat)]
    runs = [b - a for a, b in itertools.pairwise(ends)]
    return [0, *runs] if flat[0] else runs


def _label_map(classes: Tensor) -> Image.Image:
    height, width = classes.shape
    content = bytes(classes.to(torch.uint8).flatten().tolist())
    image = Image.frombytes("P", (width, height), content)
    image.putpalette([0, 0, 0, *(c for rgb in RGB.values() for c in rgb)])
    return image
