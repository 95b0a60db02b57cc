"""The loss of a set: each object has one query, which learns its class and box; the others learn: nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import final

import torch
from ds_core import functional as core
from ds_core.checks import shape
from ds_core.kernels import dispatch
from ds_core.losses import Loss
from torch import Tensor

from ds_zoo import functional
from ds_zoo.detr.matching import (
    Matched,
    Target,
    box_costs,
    check_classes,
    class_costs,
    counted,
    divisors,
    match,
    padded,
)

softmax, _ = dispatch(core.softmax, half=torch.float32)
cross_entropy, cross_entropy_backward = dispatch(core.cross_entropy, half=torch.float32)
l1, l1_backward = dispatch(core.l1, half=torch.float32)
giou, giou_backward = dispatch(functional.giou, half=torch.float32)
corners, corners_backward = dispatch(functional.corners, half=torch.float32)

# What labels of an image may be: as transformers has them, {"class_labels": ..., "boxes": ...}, or a Target.
Labels = Sequence[Target | Mapping[str, Tensor]]


@final
class DETRLoss(Loss):
    """Matches predicted and true objects, and adds up what is wrong with class and box, layer by layer.

    l = sum over layers of (sum_q w_q (-log p_q(c_q)) / sum_q w_q
                            + (bbox_weight sum |b - t|_1 + giou_weight sum (1 - GIoU(b, t))) / objects)

    c_q is the class of the object that query q is matched with, or "nothing", which has the last number and
    counts w_q = eos instead of 1; b and t are the boxes of matched pairs. Queries may come in several groups,
    each of which is matched with all objects on its own: each object then has several queries to learn from.

    Args:
        num_labels: K, the classes without "nothing".
        class_cost: weight of the class in the matching's costs.
        bbox_cost: of the distance of the boxes.
        giou_cost: of their overlap.
        bbox_weight: of the distance in the loss.
        giou_weight: of the overlap.
        eos: weight of "nothing" in the cross-entropy.

    Shape:
        logits ``(D, B G, Q, K + 1)`` and boxes ``(D, B G, Q, 4)``, centre and size, for D layers and G groups
        of queries of each of B images, one after the other; labels: of each image its classes ``(n,)`` and
        boxes ``(n, 4)``, as :class:`Target` or a dict -> scalar. ``backward`` returns the gradients
        of logits and boxes.

    Attributes:
        terms: of the latest forward: "loss_ce", "loss_bbox", "loss_giou" and "cardinality_error" of the last
            layer, and of the others with their numbers, as "loss_ce_0".
        matched: of the latest forward: who was matched with whom, ``D B G`` images in order.

    Raises:
        ValueError: if there are not as many labels as images, classes or boxes are missing, or a box has a
            negative size.
        TypeError: if classes are no whole numbers.
        IndexError: if a class is not from 0 to K - 1.

    Source: Carion et al., End-to-End Object Detection with Transformers (2020), equations 1 and 2, section
    A.2; groups: Chen et al., Group DETR (2023), section 3.
    """

    reductions = ("mean",)

    def __init__(
        self,
        num_labels: int,
        *,
        class_cost: float = 1.0,
        bbox_cost: float = 5.0,
        giou_cost: float = 2.0,
        bbox_weight: float = 5.0,
        giou_weight: float = 2.0,
        eos: float = 0.1,
    ) -> None:
        super().__init__()
        self.num_labels = num_labels
        self.class_cost, self.bbox_cost, self.giou_cost = class_cost, bbox_cost, giou_cost
        self.bbox_weight, self.giou_weight, self.eos = bbox_weight, giou_weight, eos
        self.terms: dict[str, Tensor] = {}
        self.matched: Matched | None = None
        self._of_all: list[int] | None = None  # how many objects are in each image of a step

    def forward(self, logits: Tensor, boxes: Tensor, labels: Labels) -> Tensor:
        depth, images = logits.shape[:2]
        targets = self._checked(labels, logits)
        groups = images // len(targets) if targets else 1
        targets = [target for target in targets for _ in range(groups)]
        # match
        classes, true_boxes, counts = padded(targets, boxes.dtype)
        matched = self._match(logits.detach(), boxes.detach(), classes, true_boxes, counts)
        at = matched.images * logits.shape[2] + matched.queries  # in D B G Q
        of = (matched.images % max(1, images)) * classes.shape[1] + matched.objects  # in B G n
        # class
        wanted = torch.full((logits.shape[:3].numel(),), self.num_labels, device=logits.device)
        wanted = wanted.index_copy(0, at, classes.flatten().index_select(0, of))
        weight = logits.new_ones(self.num_labels + 1)
        weight[-1] = self.eos
        surprise, of_class = cross_entropy(logits.flatten(0, 2), wanted, weight, reduction="none", dim=1)
        pairs = len(at) // max(1, depth)  # as many in each layer
        of_all = counts if self._of_all is None else [n for n in self._of_all for _ in range(groups)]
        whole, objects = divisors(of_all, logits.shape[2], self.eos)
        # box
        b = boxes.flatten(0, 2).index_select(0, at)  # (M, 4)
        t = true_boxes.flatten(0, 1).index_select(0, of)
        distance, of_distance = l1(b, t, "none")
        edges, of_edges = corners(b)
        overlap, of_overlap = giou(edges, corners(t)[0])
        # add up, each layer for itself
        ce = surprise.view(depth, -1).sum(1) / whole
        bbox = distance.view(depth, pairs, 4).sum((1, 2)) / objects
        apart = (1 - overlap).view(depth, pairs).sum(1) / objects
        loss = (ce + self.bbox_weight * bbox + self.giou_weight * apart).sum()
        self._report(logits, counts, ce, bbox, apart)
        self.matched = matched
        self.save((of_class, of_distance, of_edges, of_overlap), at, logits, whole, objects)
        return loss

    def backward(self, grad: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
        (of_class, of_distance, of_edges, of_overlap), at, like, whole, objects = self.saved()
        # box
        row = like.new_ones(len(at)) * grad / objects
        grad_edges, _ = giou_backward(-self.giou_weight * row, of_overlap)  # 1 - overlap
        grad_b = corners_backward(grad_edges, of_edges)  # edges
        grad_b = grad_b + l1_backward(self.bbox_weight * row[:, None].expand(-1, 4), of_distance)  # distance
        queries = like.shape[:3]
        grad_boxes = like.new_zeros(queries.numel(), 4).index_copy(0, at, grad_b).view(*queries, 4)  # b
        # class
        each = like.new_ones(queries.numel()) * grad / whole
        grad_logits = cross_entropy_backward(each, of_class).view(like.shape)  # surprise
        return grad_logits, grad_boxes

    @contextmanager
    def within(self, labels: Sequence[Labels]) -> Iterator[None]:
        """Makes the loss, in the block, what its images add to that of all batches of a step together.

        Args:
            labels: of each batch.
        """
        self._of_all = counted(labels)
        try:
            yield
        finally:
            self._of_all = None

    def _match(
        self, logits: Tensor, boxes: Tensor, classes: Tensor, true_boxes: Tensor, counts: list[int]
    ) -> Matched:
        """Pairs queries and objects in every layer and image."""
        costs = class_costs(softmax(logits, -1)[0], classes, self.class_cost)
        costs = costs + box_costs(boxes, true_boxes, self.bbox_cost, self.giou_cost)  # (D, B G, Q, n)
        return match(costs.flatten(0, 1), counts)

    def _checked(self, labels: Labels, logits: Tensor) -> list[Target]:
        """Returns targets of which every number is in order."""
        found = []
        for number, given in enumerate(labels):
            if not isinstance(given, Target) and not {"class_labels", "boxes"} <= given.keys():
                raise ValueError(
                    f"DETRLoss: image {number}: expected class_labels and boxes, got {', '.join(given)}"
                )
            target = given if isinstance(given, Target) else Target(given["class_labels"], given["boxes"])
            if target.boxes.shape != (len(target.class_labels), 4):
                raise ValueError(
                    f"DETRLoss: image {number}: expected boxes ({len(target.class_labels)}, 4), one for each "
                    f"class, got {shape(target.boxes)}"
                )
            found.append(target)
        if not found or logits.shape[1] % len(found):
            raise ValueError(
                f"DETRLoss: expected labels for {logits.shape[1]} images, or groups of queries of fewer, got "
                f"{len(found)}"
            )
        check_classes("DETRLoss", [target.class_labels for target in found], self.num_labels)
        if bool((torch.cat([target.boxes for target in found])[:, 2:] < 0).any()):
            wrong = [i for i, target in enumerate(found) if bool((target.boxes[:, 2:] < 0).any())]
            raise ValueError(
                f"DETRLoss: image {wrong[0]}: expected boxes as centre and size, got a negative size"
            )
        return found

    def _report(self, logits: Tensor, counts: list[int], ce: Tensor, bbox: Tensor, apart: Tensor) -> None:
        """Keeps the terms of the loss, and by how many objects each layer is wrong."""
        found = (logits.detach().argmax(-1) != self.num_labels).sum(2).to(ce.dtype)  # (D, B G)
        wrong = (found - found.new_tensor(counts)).abs().mean(1)
        terms = {"loss_ce": ce, "loss_bbox": bbox, "loss_giou": apart, "cardinality_error": wrong}
        last = len(ce) - 1
        self.terms = {
            name if layer == last else f"{name}_{layer}": values[layer].detach()
            for layer in (last, *range(last))
            for name, values in terms.items()
        }

    def extra_repr(self) -> str:
        return f"{self.num_labels} classes"
