"""Pascal VOC's format: a folder of XML files, one for each picture."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch
from ds_core.data.read_image import read_image

from ds_zoo.data.annotated.image import AnnotatedImage, Remarks, check_size, clipped, kept_boxes

MOST_BYTES = 10**6  # of one file; entities of XML could otherwise grow into anything


class VocImages:
    """Pictures annotated in Pascal VOC's format: ``Annotations/NAME.xml`` and ``JPEGImages/NAME.jpg``.

    VOC counts pixels from 1 and its right and bottom are inside; here they count from 0 and are outside.
    What is marked difficult is left out of what a model is to find, as a crowd is.

    Args:
        folder: with both subfolders, or one folder with XML files and pictures.
        classes: their names in order; None for all that occur, sorted.

    Raises:
        FileNotFoundError: if the folder, or a picture, is missing.
        ValueError: if a file is damaged or a class unknown; names it.
    """

    stuff: frozenset[int] | None = None

    def __init__(self, folder: str | Path, classes: tuple[str, ...] | None = None) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder; expected Pascal VOC's, with Annotations")
        split = (self.folder / "Annotations").is_dir()
        where = self.folder / "Annotations" if split else self.folder
        self.pictures = self.folder / "JPEGImages" if split else self.folder
        files = sorted(where.glob("*.xml"))
        if not files:
            raise ValueError(f"{where}: expected XML files in Pascal VOC's format, got none")
        remarks = Remarks(str(folder))
        read = [_read(file) for file in files]
        names = sorted({one["name"] for image in read for one in image["objects"]})
        self.class_names = tuple(names) if classes is None else classes
        unknown = [name for name in names if name not in self.class_names]
        if unknown:
            raise ValueError(
                f"{folder}: expected classes of {', '.join(self.class_names)}, got {unknown[0]!r}"
            )
        for file, image in zip(files, read, strict=True):
            if not (self.pictures / image["file"]).is_file():
                raise FileNotFoundError(f"{file}: its picture {self.pictures / image['file']} is missing")
            boxes = [one["box"] for one in image["objects"]]
            kept = kept_boxes(boxes, image["size"], file.name, remarks)
            image["objects"] = [one for one, keep in zip(image["objects"], kept, strict=True) if keep]
        remarks.warn()
        self.images = read
        self.sizes: list[tuple[int, int]] | None = [image["size"] for image in read]
        self.print = hashlib.sha256(repr((read, self.class_names)).encode()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> AnnotatedImage:
        image = self.images[number]
        file = self.pictures / image["file"]
        pixels = read_image(file, str(file))
        check_size(file, pixels, image["size"], "its XML")
        found = image["objects"]
        boxes = torch.tensor([one["box"] for one in found], dtype=torch.float32).view(-1, 4)
        return AnnotatedImage(
            pixels,
            clipped(boxes, image["size"]),
            torch.tensor([self.class_names.index(one["name"]) for one in found], dtype=torch.int64),
            crowd=torch.tensor([one["difficult"] for one in found], dtype=torch.bool),
            key=image["file"],
        )


def _read(file: Path) -> dict[str, Any]:
    """Reads one XML file."""
    try:
        if file.stat().st_size > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES:,} bytes")
        text = file.read_text(encoding="utf-8")
        if "<!ENTITY" in text:
            raise ValueError("it defines entities")
        root = ElementTree.fromstring(text)
        name = (root.findtext("filename") or f"{file.stem}.jpg").strip()
        if Path(name).name != name:
            raise ValueError(f"filename {name!r} leads elsewhere")
        size = (int(_text(root, "size/height")), int(_text(root, "size/width")))
        objects = []
        for one in root.iter("object"):
            left, top, right, bottom = (
                float(_text(one, f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")
            )
            objects.append(
                {
                    "name": _text(one, "name"),
                    "box": [left - 1, top - 1, right, bottom],
                    "difficult": (one.findtext("difficult") or "0").strip() == "1",
                }
            )
    except (ValueError, ElementTree.ParseError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: not Pascal VOC's format ({error})") from error
    return {"file": name, "size": size, "objects": objects}


def _text(element: Any, path: str) -> str:
    text = (element.findtext(path) or "").strip()
    if not text:
        raise ValueError(f"no {path}")
    return str(text)
