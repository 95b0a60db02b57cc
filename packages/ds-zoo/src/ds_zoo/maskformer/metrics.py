"""How good a segmentation is: overlap of classes, their outlines, and segments found."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ds_zoo.maskformer.segments import Segment


class SemanticScores:
    """Compares maps of classes: pixel accuracy, mean IoU, and how well outlines agree.

    pixel accuracy = share of pixels whose class is right
    IoU_k = TP / (TP + FP + FN), pixels of class k; mean IoU: of the classes that occur
    F_k = 2 P R / (P + R);   P = share of the predicted outline's pixels with one of the true outline
    near them, R the other way round

    The boundary F of an image is the mean of F_k over classes on it, predicted or true; a class that only one
    of the two has counts 0. An outline's pixels are those of a class beside a pixel of another; near means
    within a share ``tolerance`` of the image's diagonal, but one pixel at least.

    Args:
        num_labels: K.
        void: the number that stands for no class in true maps; its pixels count nowhere.
        tolerance: in shares of the diagonal.

    Source: Everingham et al., The Pascal Visual Object Classes (VOC) Challenge (2010), section 4.3; Csurka et
    al., What is a Good Evaluation Measure for Semantic Segmentation? (2013), section 2.
    """

    def __init__(self, num_labels: int, *, void: int | None = None, tolerance: float = 0.0075) -> None:
        self.num_labels, self.void, self.tolerance = num_labels, void, tolerance
        self.matrix = torch.zeros(num_labels, num_labels, dtype=torch.int64)  # row: true, column: predicted
        self.outlines: list[float] = []

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Takes in an image: predicted and true classes ``(H, W)``.

        Raises:
            ValueError: if their sizes differ, or a number is no class.
        """
        if prediction.shape != target.shape or target.dim() != 2:
            raise ValueError(
                f"SemanticScores: expected two maps (H, W) of one size, got {tuple(prediction.shape)} and "
                f"{tuple(target.shape)}"
            )
        known = torch.ones_like(target, dtype=torch.bool) if self.void is None else target != self.void
        for name, found in (("predicted", prediction[known]), ("true", target[known])):
            if len(found) and not 0 <= int(found.min()) <= int(found.max()) < self.num_labels:
                raise ValueError(
                    f"SemanticScores: expected {name} classes from 0 to {self.num_labels - 1}, got "
                    f"{int(found.min())} to {int(found.max())}"
                )
        cells = (target[known] * self.num_labels + prediction[known]).cpu()
        counts = torch.bincount(cells, minlength=self.num_labels**2)
        self.matrix += counts.view(self.num_labels, self.num_labels)
        near = max(1, round(self.tolerance * math.hypot(*target.shape)))
        marks = [
            f
            for label in torch.cat([prediction[known], target[known]]).unique().tolist()
            if (f := outline_f((prediction == label) & known, (target == label) & known, near, known))
            is not None
        ]
        if marks:
            self.outlines.append(sum(marks) / len(marks))

    def iou(self) -> Tensor:
        """Returns the IoU of each class ``(K,)``; NaN of those that do not occur."""
        right = self.matrix.diagonal().double()
        return right / (self.matrix.sum(0) + self.matrix.sum(1) - right)

    def compute(self) -> dict[str, float]:
        """Returns "mean_iou", "pixel_accuracy" and "boundary_f".

        Raises:
            RuntimeError: if there was nothing.
        """
        if not self.matrix.any():
            raise RuntimeError("SemanticScores: nothing to compute: no pixel has come in through update")
        return {
            "mean_iou": float(self.iou().nanmean()),
            "pixel_accuracy": float(self.matrix.diagonal().sum() / self.matrix.sum()),
            "boundary_f": sum(self.outlines) / len(self.outlines) if self.outlines else math.nan,
        }


def outline(mask: Tensor, known: Tensor) -> Tensor:
    """Returns the pixels of a mask ``(H, W)`` that have a known one outside beside, above or below them."""
    other = known & ~mask
    found = torch.zeros_like(mask)
    found[1:] |= other[:-1]
    found[:-1] |= other[1:]
    found[:, 1:] |= other[:, :-1]
    found[:, :-1] |= other[:, 1:]
    return found & mask


def outline_f(prediction: Tensor, target: Tensor, near: int, known: Tensor) -> float | None:
    """Compares the outlines of two masks ``(H, W)``:   F = 2 P R / (P + R); None where neither has one.

    Args:
        prediction: the predicted mask.
        target: the true one.
        near: how many pixels two outlines may lie apart.
        known: where it is known what is right.
    """
    ours, theirs = outline(prediction, known), outline(target, known)
    counts = int(ours.sum()), int(theirs.sum())
    if not any(counts):
        return None if prediction.any() and target.any() else 0.0
    if not all(counts):
        return 0.0
    precision = int((ours & grown(theirs, near)).sum()) / counts[0]
    recall = int((theirs & grown(ours, near)).sum()) / counts[1]
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def grown(mask: Tensor, by: int) -> Tensor:
    """Adds to a mask ``(H, W)`` all pixels at a distance of at most ``by``."""
    height, width = mask.shape
    wide = torch.zeros(height + 2 * by, width + 2 * by, dtype=torch.bool, device=mask.device)
    for down in range(-by, by + 1):
        for right in range(-by, by + 1):
            if down**2 + right**2 <= by**2:
                wide[by + down : by + down + height, by + right : by + right + width] |= mask
    return wide[by : by + height, by : by + width]


class PanopticQuality:
    """Counts segments that are found, made up and missed, and how well those that are found fit.

    PQ_k = (sum of IoU of found segments) / (TP + FP / 2 + FN / 2) = SQ_k RQ_k,
    SQ_k = their mean IoU,   RQ_k = TP / (TP + FP / 2 + FN / 2)

    A predicted and a true segment of one class with an IoU above 1/2 are a find, TP; there can be but one for
    each. What is predicted and no find is FP, what is true and no find FN. The means are those of the classes
    that occur. Pixels of no true segment are void: they do not count in an IoU, and a predicted segment more
    than half of which is void is not FP; unless ``void`` is False, for images in which every pixel is known.

    Args:
        num_labels: K.
        void: whether pixels of no true segment are unknown.

    Source: Kirillov et al., Panoptic Segmentation (2019), section 4.
    """

    def __init__(self, num_labels: int, *, void: bool = True) -> None:
        self.num_labels, self.void = num_labels, void
        self.overlap = torch.zeros(num_labels, dtype=torch.float64)
        self.found, self.wrong, self.missed = torch.zeros(3, num_labels, dtype=torch.float64)

    def update(
        self,
        prediction: Tensor,
        segments: Sequence[Segment],
        target: Tensor,
        true_segments: Sequence[Segment],
    ) -> None:
        """Takes in an image: two maps of segments' numbers ``(H, W)``, 0 for none, and what they are.

        Raises:
            ValueError: if their sizes differ.
        """
        if prediction.shape != target.shape or target.dim() != 2:
            raise ValueError(
                f"PanopticQuality: expected two maps (H, W) of one size, got {tuple(prediction.shape)} and "
                f"{tuple(target.shape)}"
            )
        columns = int(target.max()) + 1
        pairs = torch.bincount((prediction * columns + target).flatten().cpu())
        pairs = torch.cat([pairs, pairs.new_zeros(-len(pairs) % columns)]).view(-1, columns)
        ours, theirs = pairs.sum(1), pairs.sum(0)
        unknown = pairs[:, 0] if self.void else torch.zeros_like(ours)
        taken = set()
        for mine in segments:
            if mine.id >= len(pairs) or not ours[mine.id]:
                continue  # nothing of it is to be seen
            matched = False
            for true in true_segments:
                if true.label_id != mine.label_id or true.id >= columns:
                    continue
                both = int(pairs[mine.id, true.id])
                either = int(ours[mine.id] + theirs[true.id] - both - unknown[mine.id])
                if 2 * both > either:
                    iou = both / either
                    self.overlap[mine.label_id] += iou
                    self.found[mine.label_id] += 1
                    taken.add(true.id)
                    matched = True
            if not matched and 2 * int(unknown[mine.id]) <= int(ours[mine.id]):
                self.wrong[mine.label_id] += 1
        for true in true_segments:
            if true.id < columns and theirs[true.id] and true.id not in taken:
                self.missed[true.label_id] += 1

    def some(self) -> bool:
        """Says whether there is something to compute: a segment was found, made up or missed."""
        return bool((self.found + self.wrong + self.missed).any())

    def compute(self) -> dict[str, float]:
        """Returns "pq", "sq" and "rq".

        Raises:
            RuntimeError: if there was nothing.
        """
        whole = self.found + (self.wrong + self.missed) / 2
        seen = whole > 0
        if not self.some():
            raise RuntimeError("PanopticQuality: nothing to compute: no segment has come in through update")
        fit = self.overlap / self.found.clamp(min=1)
        share = self.found / whole
        return {
            "pq": float((fit * share)[seen].mean()),
            "sq": float(fit[seen].mean()),
            "rq": float(share[seen].mean()),
        }
