"""Annotated images by a data word, and scenes as such."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256

from ds_zoo.data.annotated.coco import CocoImages
from ds_zoo.data.annotated.image import AnnotatedImage, AnnotatedImages
from ds_zoo.data.annotated.metadata import MetadataImages
from ds_zoo.data.annotated.voc import VocImages
from ds_zoo.data.scenes import Scenes
from ds_zoo.data.words import parse


class SceneImages:
    """Scenes of shapes as annotated images, drawn when they are asked for.

    Args:
        scenes: which.
        columns: what is wanted besides boxes and labels: "masks", "semantic", or both.
    """

    def __init__(self, scenes: Scenes, columns: Sequence[str] = ()) -> None:
        self.scenes = scenes.select_columns(["pixels", "boxes", "labels", *columns])
        self.class_names = tuple(scenes.class_names)
        width, height = scenes.plan.size
        self.sizes: list[tuple[int, int]] | None = [(height, width)] * len(scenes)
        self.print = sha256(json.dumps(scenes.setting()).encode()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, number: int) -> AnnotatedImage:
        return AnnotatedImage(**self.scenes[number], key=number)


def open_annotated(word: str, *, masks: bool = False) -> AnnotatedImages:
    """Opens annotated images by their data word.

    Args:
        word: ``coco:FILE.json`` or ``coco:FILE.json#FOLDER``, whose pictures lie in FOLDER; ``voc:FOLDER``;
            or ``imagefolder:FOLDER`` with ``metadata.jsonl``.
        masks: whether masks are wanted, which COCO's format alone has.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: if the word is of another kind, or the data are damaged.
    """
    kind, what, _, folder = parse(word)
    if kind == "coco":
        return CocoImages(what, folder, masks=masks)
    if masks:
        raise ValueError(f"data: expected masks, as coco:FILE.json may have them, got {word!r}")
    if kind == "voc":
        return VocImages(what)
    if kind == "imagefolder":
        return MetadataImages(what)
    raise ValueError(
        "data: expected annotated images: scenes, coco:FILE.json, voc:FOLDER or imagefolder:FOLDER with "
        f"metadata.jsonl, got {word!r}"
    )
