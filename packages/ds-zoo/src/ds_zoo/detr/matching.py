"""Matching: which query answers for which object, so that the whole costs least."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from ds_core.data.optional import needed
from ds_core.kernels import dispatch
from torch import Tensor

from ds_zoo import functional


class Target(NamedTuple):
    """The objects in one image.

    Attributes:
        class_labels: the number of each object's class, int64 ``(n,)``.
        boxes: centre and size in shares of the image's ``(n, 4)``.
    """

    class_labels: Tensor
    boxes: Tensor


class Matched(NamedTuple):
    """Pairs of queries and objects, those of the first image first.

    Attributes:
        images: the number of the image of each pair, int64 ``(M,)``.
        queries: of the query ``(M,)``.
        objects: of the object, among its image's ``(M,)``.
    """

    images: Tensor
    queries: Tensor
    objects: Tensor


giou, _ = dispatch(functional.giou, half=torch.float32)
corners, _ = dispatch(functional.corners, half=torch.float32)


def counted(labels: Iterable[Iterable[Any]]) -> list[int]:
    """Counts the objects of each image of several batches."""
    return [
        len(target.class_labels if isinstance(target, Target) else target["class_labels"])
        for batch in labels
        for target in batch
    ]


def check_classes(name: str, classes: Sequence[Tensor], num_labels: int) -> None:
    """Checks the classes of all images at once, and looks for the image only if one is wrong.

    Args:
        name: of the loss.
        classes: of each image, ``(n,)``.
        num_labels: K.

    Raises:
        TypeError: if they are no whole numbers.
        IndexError: if one is not from 0 to K - 1.
    """
    for number, of_image in enumerate(classes):
        if len(of_image) and (of_image.is_floating_point() or of_image.dtype == torch.bool):
            raise TypeError(
                f"{name}: image {number}: expected class_labels as whole numbers, got {of_image.dtype}"
            )
    together = torch.cat(list(classes))
    if not len(together):
        return
    least, most = (int(number) for number in together.aminmax())
    if least >= 0 and most < num_labels:
        return
    wrong = least if least < 0 else most
    number = next(i for i, of_image in enumerate(classes) if wrong in of_image.tolist())
    raise IndexError(f"{name}: image {number}: expected classes from 0 to {num_labels - 1}, got {wrong}")


def divisors(counts: Sequence[int], queries: int, eos: float) -> tuple[float, int]:
    """Returns what the loss of classes, and that of boxes or masks, is a mean over.

    Args:
        counts: how many objects are in each image.
        queries: Q, of each image.
        eos: how much a query without an object counts.
    """
    pairs = sum(min(count, queries) for count in counts)
    return pairs + eos * (len(counts) * queries - pairs), max(1, sum(counts))


def box_costs(boxes: Tensor, targets: Tensor, l1: float, overlap: float) -> Tensor:
    """Says how far each box is from each object's:   l1 |b - t|_1 - overlap GIoU(b, t).

    Args:
        boxes: centre and size ``(..., Q, 4)``.
        targets: centre and size ``(..., n, 4)``.
        l1: weight of the distance.
        overlap: weight of the overlap.

    Returns:
        ``(..., Q, n)``.
    """
    b, t = boxes.unsqueeze(-2), targets.unsqueeze(-3)  # (..., Q, 1, 4), (..., 1, n, 4)
    distance = (b - t).abs().sum(-1)
    return l1 * distance - overlap * giou(corners(b)[0], corners(t)[0])[0]


def class_costs(probabilities: Tensor, labels: Tensor, weight: float) -> Tensor:
    """Says how little each query believes in each object's class:   -weight p(class).

    Args:
        probabilities: of each class ``(..., Q, K)``.
        labels: int64 ``(..., n)``.
        weight: of the cost.

    Returns:
        ``(..., Q, n)``.
    """
    index = labels.unsqueeze(-2).expand(*probabilities.shape[:-1], labels.shape[-1])
    return -weight * probabilities.gather(-1, index)


def padded(targets: Sequence[Target], dtype: torch.dtype) -> tuple[Tensor, Tensor, list[int]]:
    """Lays targets side by side:   classes ``(B, n)``, boxes ``(B, n, 4)``, and how many are real."""
    counts = [len(target.class_labels) for target in targets]
    device = targets[0].boxes.device if targets else None
    most = max(counts, default=0)
    labels = torch.zeros(len(targets) * most, dtype=torch.int64, device=device)
    boxes = torch.zeros(len(targets) * most, 4, dtype=dtype, device=device)
    if most:
        places = [row * most + i for row, count in enumerate(counts) for i in range(count)]
        at = torch.tensor(places, device=device)
        labels.index_copy_(0, at, torch.cat([target.class_labels for target in targets]).to(labels.dtype))
        boxes.index_copy_(0, at, torch.cat([target.boxes for target in targets]).to(dtype))
    return labels.view(len(targets), most), boxes.view(len(targets), most, 4), counts


def match(costs: Tensor, counts: Sequence[int]) -> Matched:
    """Pairs queries and objects so that the sum of the costs is least: the assignment problem.

    Where there are more objects than queries, as many objects as there are queries get one, and a warning
    says how many do not. A cost that is no number counts as the highest there is, so that the loss shows it.

    Args:
        costs: ``(I, Q, n)``.
        counts: how many of the n objects each image really has; a list that is repeated if there are more
            images: the same images as several layers see them.

    Source: Carion et al., End-to-End Object Detection with Transformers (2020), section 3.1; the assignment
    is scipy's.
    """
    solve = solver()
    costs = costs.detach()
    largest = torch.finfo(costs.dtype).max
    numbers = torch.where(costs.abs() <= largest, costs, largest).cpu().numpy()
    images: list[int] = []
    queries: list[int] = []
    objects: list[int] = []
    for image, cost in enumerate(numbers):
        rows, columns = solve(cost[:, : counts[image % len(counts)]])
        images += [image] * len(rows)
        queries += rows.tolist()
        objects += columns.tolist()
    lost = sum(max(0, count - numbers.shape[1]) for count in counts)
    if lost:
        warnings.warn(
            f"{lost} of {sum(counts)} objects get no query: an image has {max(counts)}, the model "
            f"{numbers.shape[1]} queries; give it more (num_queries)",
            stacklevel=2,
        )
    return Matched(
        *(torch.tensor(n, dtype=torch.int64, device=costs.device) for n in (images, queries, objects))
    )


def solver() -> Any:
    """Returns scipy's solution of the assignment problem.

    Raises:
        ImportError: if scipy is missing; says how to install it.
    """
    what = "matching queries and objects"
    return needed("scipy.optimize", "scipy", what, extra="detection", of="ds-zoo").linear_sum_assignment
