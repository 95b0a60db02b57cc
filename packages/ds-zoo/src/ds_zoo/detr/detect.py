"""From what queries say to a list of objects, and from a model and pictures to that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from ds_core import functional as core
from ds_core.kernels import dispatch
from ds_core.module import evaluating
from torch import Tensor

from ds_zoo import functional
from ds_zoo.data.annotated import AnnotatedImage, AnnotatedImages, Preparation, prepared
from ds_zoo.data.annotated.average_precision import Found
from ds_zoo.detr.model import MiniDETR

softmax, _ = dispatch(core.softmax, half=torch.float32)


def found_objects(
    logits: Tensor, boxes: Tensor, sizes: Sequence[tuple[int, int]], threshold: float = 0.5
) -> list[Found]:
    """Keeps the queries that are sure of a class, with their boxes in pixels.

    The score is the largest probability of a class other than "nothing".

    Args:
        logits: ``(B, Q, K + 1)``.
        boxes: centre and size in shares of the image ``(B, Q, 4)``.
        sizes: height and width of each image.
        threshold: scores above it are kept.

    Returns:
        What was found in each image, in the order of the queries.

    Raises:
        ValueError: if there are not as many sizes as images.
    """
    if len(sizes) != len(logits):
        raise ValueError(f"found_objects: expected {len(logits)} sizes, one for each image, got {len(sizes)}")
    probabilities, _ = softmax(logits, -1)
    scores, labels = probabilities[..., :-1].max(-1)
    corners, _ = functional.corners(boxes)
    found = []
    for score, label, box, (height, width) in zip(scores, labels, corners, sizes, strict=True):
        sure = score > threshold
        scale = box.new_tensor([width, height, width, height])
        found.append(Found(score[sure], label[sure], box[sure] * scale))
    return found


def detect(
    model: MiniDETR, preparation: Preparation, images: Sequence[AnnotatedImage], threshold: float = 0.5
) -> list[Found]:
    """Finds objects in pictures; the boxes are in pixels of the pictures as they are.

    Args:
        model: the detector.
        preparation: how pictures become numbers.
        images: the pictures; what is annotated on them is not looked at.
        threshold: scores above it are kept.
    """
    device = next(model.parameters()).device
    pixels, mask = prepared(images, preparation)
    with torch.no_grad(), evaluating(model):
        output = model(pixels.to(device), mask.to(device))
    sizes = [image.size for image in images]
    return found_objects(output.logits.cpu(), output.pred_boxes.cpu(), sizes, threshold)


def detected(
    model: MiniDETR, preparation: Preparation, images: AnnotatedImages, batch_size: int = 16
) -> Iterator[tuple[AnnotatedImage, Found]]:
    """Yields each image of a source with all that was found in it, sure or not, as the measures want it."""
    for start in range(0, len(images), batch_size):
        batch = [images[number] for number in range(start, min(start + batch_size, len(images)))]
        yield from zip(batch, detect(model, preparation, batch, 0.0), strict=True)
