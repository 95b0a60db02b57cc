"""COCO's measure: the average precision of found objects, by boxes or by masks; `pycocotools` computes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ds_zoo.data.annotated.coco import coco_module, encoded
from ds_zoo.data.annotated.image import AnnotatedImage

NAMES = (
    *("AP", "AP50", "AP75", "AP small", "AP medium", "AP large"),
    *("AR 1", "AR 10", "AR 100", "AR small", "AR medium", "AR large"),
)


class Found(NamedTuple):
    """The objects that a model found in one image.

    Attributes:
        scores: from 0 to 1 ``(n,)``.
        labels: the number of each one's class, int64 ``(n,)``.
        boxes: corners in pixels of the image ``(n, 4)``.
        masks: bool ``(n, H, W)``, or None.
    """

    scores: Tensor
    labels: Tensor
    boxes: Tensor
    masks: Tensor | None = None

    def renumbered(self, numbers: Sequence[int]) -> Found:
        """Counts classes as other data do: by the number in each one's place, -1 for one that is left out."""
        labels = torch.tensor(numbers, device=self.labels.device)[self.labels]
        kept = labels >= 0
        masks = None if self.masks is None else self.masks[kept]
        return Found(self.scores[kept], labels[kept], self.boxes[kept], masks)


def average_precision(
    pairs: Iterable[tuple[AnnotatedImage, Found]], class_names: Sequence[str], *, masks: bool = False
) -> dict[str, float]:
    """Measures what was found against what is there.

    AP is the mean over classes and over the overlaps 0.50, 0.55, ..., 0.95 from which on something counts as
    found; AP50 takes 0.50 alone; small is an object below 32 x 32 pixels, large one above 96 x 96, by the
    area that its source gives, or else its mask's, or else its box's. A number for which there is no object
    is left out. Crowds are not counted, found or not.

    Args:
        pairs: each image, pixels and boxes in its own size, and what was found in it.
        class_names: of all classes.
        masks: whether masks are compared instead of boxes.

    Returns:
        ``NAMES`` and, of several classes, "AP of NAME" for each.

    Raises:
        ImportError: if `pycocotools` is missing.
        ValueError: if there is no object at all, or crowds alone.
    """
    images: list[dict[str, Any]] = []
    truths: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for number, (image, found) in enumerate(pairs, 1):
        height, width = image.size
        images.append({"id": number, "height": height, "width": width})
        truths += _annotations(image, number, len(truths), masks)
        results += coco_results(found, number, range(1, len(class_names) + 1), masks=masks)
    if all(one["iscrowd"] for one in truths):
        raise ValueError("average precision: expected at least one object in all images, got none")
    coco = coco_module("coco").COCO()
    coco.dataset = {
        "info": {},
        "images": images,
        "annotations": truths,
        "categories": [{"id": k, "name": name} for k, name in enumerate(class_names, 1)],
    }
    with redirect_stdout(StringIO()):  # it prints as it goes
        coco.createIndex()
        evaluation = coco_module("cocoeval").COCOeval(
            coco, coco.loadRes(results) if results else _nothing(coco), "segm" if masks else "bbox"
        )
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    measured = {name: float(n) for name, n in zip(NAMES, evaluation.stats, strict=True) if n >= 0}
    if len(class_names) > 1:
        precision = evaluation.eval["precision"][:, :, :, 0, -1]  # (overlaps, recalls, classes)
        for k, name in enumerate(class_names):
            of_class = torch.from_numpy(precision[:, :, k])
            if bool((of_class >= 0).any()):
                measured[f"AP of {name}"] = float(of_class[of_class >= 0].mean())
    return measured


def coco_results(
    found: Found, image: int | str, category_ids: Sequence[Any], *, masks: bool = False
) -> list[dict[str, Any]]:
    """Lists what was found in an image as COCO's results have it.

    Args:
        found: in the image.
        image: its id.
        category_ids: of the classes, in order.
        masks: whether the masks are written, too.
    """
    results = []
    for row in range(len(found.scores)):
        left, top, right, bottom = found.boxes[row].tolist()
        one: dict[str, Any] = {
            "image_id": image,
            "category_id": category_ids[int(found.labels[row])],
            "bbox": [round(number, 3) for number in (left, top, right - left, bottom - top)],
            "score": round(float(found.scores[row]), 5),
        }
        if masks:
            assert found.masks is not None
            one["segmentation"] = encoded(found.masks[row])
        results.append(one)
    return results


def _annotations(image: AnnotatedImage, number: int, before: int, masks: bool) -> list[dict[str, Any]]:
    """Lists an image's objects; the ids begin with 1, as 0 stands for "none" in pycocotools."""
    rows = []
    for row in range(len(image.labels)):
        left, top, right, bottom = image.boxes[row].tolist()
        one: dict[str, Any] = {
            "id": before + row + 1,
            "image_id": number,
            "category_id": int(image.labels[row]) + 1,
            "bbox": [left, top, right - left, bottom - top],
            "area": (right - left) * (bottom - top),
            "iscrowd": 0 if image.crowd is None else int(image.crowd[row]),
        }
        if image.areas is not None:
            one["area"] = float(image.areas[row])
        elif image.masks is not None:
            one["area"] = int(image.masks[row].sum())
        if masks:
            if image.masks is None:
                raise ValueError(f"average precision: image {image.key} has no masks to compare with")
            one["segmentation"] = encoded(image.masks[row])
        rows.append(one)
    return rows


def _nothing(coco: Any) -> Any:
    """Returns results without one, of which pycocotools would make none."""
    empty = coco_module("coco").COCO()
    empty.dataset = {**coco.dataset, "annotations": []}
    empty.createIndex()
    return empty
