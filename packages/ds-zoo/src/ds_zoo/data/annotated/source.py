"""Annotated images by a data word, and scenes as such."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from ds_zoo.data.annotated.coco import CocoImages
from ds_zoo.data.annotated.dataset import DatasetImages
from ds_zoo.data.annotated.image import AnnotatedImage, AnnotatedImages
from ds_zoo.data.annotated.label_maps import (
    TABLE_FILE,
    ClassTable,
    DatasetPairs,
    FolderPairs,
    LabelMapImages,
    Pairs,
)
from ds_zoo.data.annotated.metadata import MetadataImages
from ds_zoo.data.annotated.panoptic import PanopticImages
from ds_zoo.data.annotated.voc import VocImages
from ds_zoo.data.scenes import Scenes
from ds_zoo.data.words import parse


class SceneImages:
    """Scenes of shapes as annotated images, drawn when they are asked for.

    Args:
        scenes: which.
        columns: what is wanted besides boxes and labels: "masks", "semantic", or both.
    """

    stuff: frozenset[int] | None = None

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


def open_annotated(
    word: str, *, masks: bool = False, classes: str | None = None, names: tuple[str, ...] | None = None
) -> AnnotatedImages:
    """Opens annotated images by their data word.

    Args:
        word: ``coco:FILE.json`` or ``panoptic:FILE.json``, with ``#FOLDER`` where the pictures do not lie
            beside it; ``voc:FOLDER``; ``imagefolder:FOLDER`` with ``metadata.jsonl``; ``labelmaps:FOLDER``
            with pictures in ``images`` and label maps in ``labels``, or in another folder named behind ``#``;
            or ``hf:NAME[SPLIT]``, whose column of objects or of label maps may be named behind ``#``.
        masks: whether masks are wanted; if so, ``hf:`` has label maps, else objects.
        classes: of label maps, the table of classes, see :class:`ClassTable`; None for ``classes.csv`` in a
            folder, if it is there, and else for the numbers that occur.
        names: of the classes, in order, for objects whose source has no list of them, as ``voc:``: not all
            need occur; None for those that do.

    Raises:
        FileNotFoundError: if there is no such file or folder.
        ValueError: if the word is of another kind, or the data are damaged.
        ImportError: if a package is missing that the data need.
    """
    kind, what, split, behind = parse(word)
    if classes is not None and not (kind == "labelmaps" or (kind == "hf" and masks)):
        raise ValueError(f"classes: a table of classes is for label maps alone, got {word!r}")
    if kind == "coco":
        return CocoImages(what, behind, masks=masks)
    if kind == "panoptic":
        return PanopticImages(what, behind)
    if kind in ("labelmaps", "hf") and masks:
        pairs: Pairs
        if kind == "hf":
            pairs = DatasetPairs(what, split, behind)
        else:
            pairs = FolderPairs(what, behind)
            beside = Path(what) / TABLE_FILE
            classes = str(beside) if classes is None and beside.is_file() else classes
        return LabelMapImages(pairs, None if classes is None else ClassTable.read(classes))
    if masks:
        raise ValueError(
            "data: expected masks, as coco:FILE.json, panoptic:FILE.json, labelmaps:FOLDER or hf:NAME may "
            f"have them, got {word!r}"
        )
    if kind == "voc":
        return VocImages(what, names)
    if kind == "imagefolder":
        return MetadataImages(what, names)
    if kind == "hf":
        return DatasetImages(what, split, behind, names)
    raise ValueError(
        "data: expected annotated images: scenes, coco:FILE.json, panoptic:FILE.json, voc:FOLDER, "
        f"imagefolder:FOLDER with metadata.jsonl or hf:NAME, got {word!r}"
    )
