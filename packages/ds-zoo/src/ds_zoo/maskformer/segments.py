"""From queries to pictures: a class for every pixel, or segments of which each is one thing.

All three are computed from the same outputs; they differ in how queries that claim the same pixel agree.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol, Self

import torch
from ds_cnn import functional as cnn
from ds_core import functional as core
from ds_core.kernels import dispatch
from torch import Tensor

from ds_zoo.maskformer.matching import nearest

softmax, _ = dispatch(core.softmax, half=torch.float32)
sigmoid, _ = dispatch(core.sigmoid, half=torch.float32)
upsample, _ = dispatch(cnn.upsample, half=torch.float32)

Sizes = Sequence[tuple[int, int]]


class Outputs(Protocol):
    """What is looked at here of what a MaskFormer returns."""

    @property
    def class_queries_logits(self) -> Tensor:
        """Returns scores of classes ``(B, Q, K + 1)``."""

    @property
    def masks_queries_logits(self) -> Tensor:
        """Returns scores of places ``(B, Q, h, w)``."""


class Said(NamedTuple):
    """What a model says of images, without the rest that it returns.

    Attributes:
        class_queries_logits: scores of classes ``(B, Q, K + 1)``.
        masks_queries_logits: scores of places ``(B, Q, h, w)``.
    """

    class_queries_logits: Tensor
    masks_queries_logits: Tensor


class Segment(NamedTuple):
    """A segment of an image.

    Attributes:
        id: its number in the map, from 1 on.
        label_id: the number of its class.
        score: how sure the model is, from 0 to 1.
        was_fused: whether it may be made of several of one class that do not count apart.
    """

    id: int
    label_id: int
    score: float
    was_fused: bool = False


class Segmentation(NamedTuple):
    """The segments of an image.

    Attributes:
        segmentation: which pixel belongs to which segment, int64 ``(H, W)``; 0 for none.
        segments: one for each number in the map, and those that others hide.
        masks: all of each segment, what others hide, too, bool ``(n, H, W)``.
    """

    segmentation: Tensor
    segments: tuple[Segment, ...]
    masks: Tensor

    @classmethod
    def of_classes(cls, scores: Tensor) -> Self:
        """Makes one segment of each class that has the largest score of a pixel, of scores ``(K, H, W)``.

        The segment's own score is the share of its class in those of all, the mean over its pixels.
        """
        classes, shares = scores.argmax(0), scores / scores.sum(0).clamp(min=1e-30)
        labels = classes.unique()
        numbers = torch.arange(1, len(labels) + 1, device=classes.device)
        masks = classes == labels[:, None, None]
        sure = [shares[label][mask].mean().item() for label, mask in zip(labels, masks, strict=True)]
        segments = tuple(
            Segment(i, label, s, True)
            for i, (label, s) in enumerate(zip(labels.tolist(), sure, strict=True), 1)
        )
        return cls((masks * numbers[:, None, None]).sum(0), segments, masks)

    def without(self, label_ids: Collection[int]) -> Self:
        """Returns the segments of other classes, numbered anew."""
        kept = [segment for segment in self.segments if segment.label_id not in label_ids]
        painted = torch.zeros_like(self.segmentation)
        for number, segment in enumerate(kept, 1):
            painted[self.segmentation == segment.id] = number
        segments = tuple(segment._replace(id=number) for number, segment in enumerate(kept, 1))
        return type(self)(painted, segments, self.masks[[segment.id - 1 for segment in kept]])


def semantic(outputs: Outputs, sizes: Sizes | None = None) -> list[Tensor]:
    """Gives every pixel a class: of all queries' classes that which, in sum, most speaks for.

    class(y, x) = argmax_k sum_q p_q(k) sigmoid(M_q(y, x)),   k a class, not "nothing"

    Args:
        outputs: of the model.
        sizes: height and width wanted for each image; None for the map's.

    Returns:
        the classes' numbers, int64 ``(H, W)``, of each image.

    Source: Cheng et al., Per-Pixel Classification is Not All You Need for Semantic Segmentation (2021),
    section 3.4.
    """
    return [scores.argmax(0) for scores in class_scores(outputs, sizes)]


def class_scores(outputs: Outputs, sizes: Sizes | None = None) -> list[Tensor]:
    """Returns for each image how much speaks for a class at each pixel, ``(K, H, W)``: semantic's sum."""
    classes, _ = softmax(outputs.class_queries_logits, -1)
    places, _ = sigmoid(outputs.masks_queries_logits, keep=False)
    scores = classes[..., :-1].mT @ places.flatten(2)  # (B, K, h w)
    scores = scores.unflatten(2, places.shape[2:])
    return [resized(of_image, size) for of_image, size in zip(scores, _each(scores, sizes), strict=True)]


def instances(outputs: Outputs, sizes: Sizes | None = None, *, threshold: float = 0.5) -> list[Segmentation]:
    """Takes the Q surest pairs of a query and a class, each with all of the query's mask.

    score = p_q(k) times the mean of sigmoid(M_q) where that is above 1/2

    Segments may overlap; in the map the surest lies on top.

    Args:
        outputs: of the model.
        sizes: height and width wanted for each image; None for the map's.
        threshold: what a score must reach.

    Source: as `transformers` has it for published weights.
    """
    found = []
    probabilities, _ = softmax(outputs.class_queries_logits, -1)
    for p, logits, size in zip(
        probabilities[..., :-1], outputs.masks_queries_logits, _each(probabilities, sizes), strict=True
    ):
        queries, labels = p.shape
        order = p.flatten().argsort(descending=True, stable=True)[:queries]
        chosen = logits[order // labels]  # (Q, h, w)
        inside = chosen > 0
        sure = (sigmoid(chosen, keep=False)[0] * inside).sum((1, 2)) / (inside.sum((1, 2)) + 1e-6)
        scores = p.flatten()[order] * sure
        masks = inside if size is None else nearest(inside, size)
        keep = (scores >= threshold) & masks.flatten(1).any(1)
        scores, masks, classes = scores[keep], masks[keep], (order % labels)[keep]
        order = scores.argsort(descending=True, stable=True)
        scores, masks, classes = scores[order], masks[order], classes[order]
        painted = torch.zeros(masks.shape[1:], dtype=torch.int64, device=masks.device)
        for number in range(len(masks), 0, -1):
            painted[masks[number - 1]] = number
        segments = zip(classes.tolist(), scores.tolist(), strict=True)
        found.append(Segmentation(painted, tuple(Segment(i, *of) for i, of in enumerate(segments, 1)), masks))
    return found


def panoptic(
    outputs: Outputs,
    sizes: Sizes | None = None,
    *,
    threshold: float = 0.5,
    mask_threshold: float = 0.5,
    overlap_mask_area_threshold: float = 0.8,
    label_ids_to_fuse: Collection[int] = (),
) -> list[Segmentation]:
    """Gives every pixel to one query at most, and keeps queries that get most of what they claim.

    owner(y, x) = argmax_q s_q sigmoid(M_q(y, x)),   s_q = max_k p_q(k), of queries with s_q > threshold

    A query claims the pixels where s_q sigmoid(M_q) reaches ``mask_threshold``; it is kept if it owns more
    than a share ``overlap_mask_area_threshold`` of as many pixels.

    Args:
        outputs: of the model.
        sizes: height and width wanted for each image; None for the map's.
        threshold: of a query's score.
        mask_threshold: of what a query claims.
        overlap_mask_area_threshold: of the share of it that it gets.
        label_ids_to_fuse: classes of which an image has one segment at most, such as sky.

    Source: Cheng et al., Per-Pixel Classification is Not All You Need for Semantic Segmentation (2021),
    section 3.4, and as `transformers` has it for published weights.
    """
    found = []
    probabilities, _ = softmax(outputs.class_queries_logits, -1)
    nothing = probabilities.shape[-1] - 1
    each = _each(probabilities, sizes)
    for p, logits, size in zip(probabilities, outputs.masks_queries_logits, each, strict=True):
        scores, labels = p.amax(-1), p.argmax(-1)
        keep = (labels != nothing) & (scores > threshold)
        scores, labels = scores[keep], labels[keep]
        claims = resized(sigmoid(logits[keep], keep=False)[0], size) * scores[:, None, None]
        painted = torch.zeros(claims.shape[1:], dtype=torch.int64, device=claims.device)
        segments: list[Segment] = []
        fused: dict[int, int] = {}
        owners = claims.argmax(0) if len(claims) else painted
        for query, (label, score) in enumerate(zip(labels.tolist(), scores.tolist(), strict=True)):
            own, claimed = owners == query, int((claims[query] >= mask_threshold).sum())
            if not claimed or not int(own.sum()) / claimed > overlap_mask_area_threshold:
                continue
            if label not in fused:
                segments.append(Segment(len(segments) + 1, label, score, label in label_ids_to_fuse))
            painted[own] = fused.get(label, len(segments))
            if label in label_ids_to_fuse:
                fused.setdefault(label, len(segments))
        numbers = torch.arange(1, len(segments) + 1, device=painted.device)
        found.append(Segmentation(painted, tuple(segments), painted == numbers[:, None, None]))
    return found


def resized(maps: Tensor, size: tuple[int, int] | None) -> Tensor:
    """Interpolates maps ``(n, h, w)`` to a height and width; None to leave them."""
    return maps if size is None else upsample(maps, size, "bilinear", False, (None, None))[0]


def whole_images(outputs: Outputs, padded: tuple[int, int], fitted: Sizes, sizes: Sizes) -> list[Said]:
    """Returns of each image what is said of it, with masks as large as the image, its padding left out.

    Args:
        outputs: of the model, for a batch.
        padded: height and width of the batch.
        fitted: of each image in it.
        sizes: of each image itself.
    """
    found = []
    said = (outputs.class_queries_logits, outputs.masks_queries_logits)
    for classes, masks, (height, width), size in zip(*said, fitted, sizes, strict=True):
        large = resized(masks, padded)[:, :height, :width]
        large = large if size == (height, width) else resized(large, size)
        found.append(Said(classes[None], large[None]))
    return found


def _each(images: Tensor, sizes: Sizes | None) -> Sequence[tuple[int, int] | None]:
    """Returns the size wanted for each image."""
    if sizes is not None and len(sizes) != len(images):
        raise ValueError(f"expected sizes for {len(images)} images, got {len(sizes)}")
    return [None] * len(images) if sizes is None else sizes
