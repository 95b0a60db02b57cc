"""The loss of a set of segments: each has one query, which learns it; the others learn: nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import final

import torch
from ds_cnn import functional as cnn
from ds_core import functional as core
from ds_core.checks import shape
from ds_core.kernels import dispatch
from ds_core.losses import Loss
from torch import Tensor

from ds_zoo.detr.matching import Matched, check_classes, class_costs, counted, divisors, match
from ds_zoo.maskformer.matching import ALPHA, GAMMA, SMOOTH, Labels, mask_costs, nearest, padded

softmax, _ = dispatch(core.softmax, half=torch.float32)
cross_entropy, cross_entropy_backward = dispatch(core.cross_entropy, half=torch.float32)
focal, focal_backward = dispatch(core.focal, half=torch.float32)
dice, dice_backward = dispatch(core.dice, half=torch.float32)
upsample, upsample_backward = dispatch(cnn.upsample, half=torch.float32)


@final
class MaskFormerLoss(Loss):
    """Matches queries and segments, and adds up what is wrong with class and mask, layer by layer.

    l = sum over layers of (class_weight sum_q w_q (-log p_q(c_q)) / sum_q w_q
                            + sum over matched pairs of (mask_weight mean over pixels of focal(x, t)
                                                         + dice_weight dice(x, t)) / segments)

    c_q is the class of the segment that query q is matched with, or "nothing", which has the last number and
    counts w_q = eos instead of 1; x is the query's mask, made as large as t, the segment's, between whose
    pixels it is interpolated.

    Args:
        num_labels: K, the classes without "nothing".
        class_weight: of the class in the loss; in matching it counts 1.
        mask_weight: of the focal loss, in matching and in the loss.
        dice_weight: of the dice loss, alike.
        eos: weight of "nothing" in the cross-entropy.

    Shape:
        class logits ``(D, B, Q, K + 1)`` and mask logits ``(D, B, Q, h, w)`` of D layers; labels: of each
        image ``{"class_labels": (n,), "masks": (n, H, W)}``, a mask being 1 inside and 0 outside, and all of
        one size -> scalar. ``backward`` returns the gradients of both logits.

    Attributes:
        terms: of the latest forward: "loss_cross_entropy", "loss_mask" and "loss_dice" of the last layer, and
            of the others with their numbers, as "loss_mask_0"; none of them weighted.
        matched: of the latest forward: which query got which segment, ``D B`` images in order.

    Raises:
        ValueError: if there are not as many labels as images, or masks do not fit or are not from 0 to 1.
        TypeError: if classes are no whole numbers.
        IndexError: if a class is not from 0 to K - 1.

    Source: Cheng et al., Per-Pixel Classification is Not All You Need for Semantic Segmentation (2021),
    equations 1 and 2, section 4.1.
    """

    reductions = ("mean",)

    def __init__(
        self,
        num_labels: int,
        *,
        class_weight: float = 1.0,
        mask_weight: float = 20.0,
        dice_weight: float = 1.0,
        eos: float = 0.1,
    ) -> None:
        super().__init__()
        self.num_labels = num_labels
        self.class_weight, self.mask_weight, self.dice_weight = class_weight, mask_weight, dice_weight
        self.eos = eos
        self.terms: dict[str, Tensor] = {}
        self.matched: Matched | None = None
        self._of_all: list[int] | None = None  # how many segments are in each image of a step

    def forward(
        self,
        class_logits: Tensor,
        mask_logits: Tensor,
        labels: Labels,
    ) -> Tensor:
        depth, images, queries = mask_logits.shape[:3]
        self._check(images, labels)
        # match
        classes, masks, counts = padded(labels, mask_logits.dtype)
        self._check_masks(masks)
        matched = self._match(class_logits.detach(), mask_logits.detach(), classes, masks, counts)
        at = matched.images * queries + matched.queries  # in D B Q
        of = (matched.images % images) * classes.shape[1] + matched.objects  # in B n
        # class
        wanted = torch.full((depth * images * queries,), self.num_labels, device=class_logits.device)
        wanted = wanted.index_copy(0, at, classes.flatten().index_select(0, of))
        weight = class_logits.new_ones(self.num_labels + 1)
        weight[-1] = self.eos
        surprise, of_class = cross_entropy(
            class_logits.flatten(0, 2), wanted, weight, reduction="none", dim=1
        )
        pairs = len(at) // depth  # as many in each layer
        of_all = counts if self._of_all is None else self._of_all
        whole, segments = divisors(of_all, queries, self.eos)
        # mask
        small = mask_logits.flatten(0, 2).index_select(0, at)  # (M, h, w)
        t = masks.flatten(0, 1).index_select(0, of)  # (M, H, W)
        x, of_size = upsample(small, (t.shape[1], t.shape[2]), "bilinear", False, (None, None))
        wrong, of_focal = focal(x, t, ALPHA, GAMMA, "none")
        apart, of_dice = dice(x, t, SMOOTH, "none")  # (M,)
        # add up, each layer for itself
        pixels = max(1, t.shape[1] * t.shape[2])
        ce = surprise.view(depth, -1).sum(1) / whole
        mask = wrong.flatten(1).sum(1).view(depth, pairs).sum(1) / (segments * pixels)
        overlap = apart.view(depth, pairs).sum(1) / segments
        loss = (self.class_weight * ce + self.mask_weight * mask + self.dice_weight * overlap).sum()
        self._report(ce, mask, overlap)
        self.matched = matched
        like = (class_logits.new_empty(0), class_logits.shape, mask_logits.shape)
        self.save((of_class, of_size, of_focal, of_dice), at, like, whole, segments, pixels)
        return loss

    def backward(self, grad: Tensor | float = 1.0) -> tuple[Tensor, Tensor]:
        (of_class, of_size, of_focal, of_dice), at, like, whole, segments, pixels = self.saved()
        empty, class_shape, mask_shape = like
        # mask
        row = empty.new_ones(len(at)) * grad / segments
        grad_x = dice_backward(self.dice_weight * row, of_dice)  # overlap
        of_mask = (self.mask_weight / pixels * row)[:, None, None]
        grad_x += focal_backward(of_mask, of_focal)  # mask
        grad_small = upsample_backward(grad_x, of_size)  # x
        grad_masks = empty.new_zeros(mask_shape).flatten(0, 2).index_copy(0, at, grad_small)  # small
        # class
        each = empty.new_ones(class_shape[:3].numel()) * grad * self.class_weight / whole
        grad_classes = cross_entropy_backward(each, of_class).view(class_shape)  # surprise
        return grad_classes, grad_masks.view(mask_shape)

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
        self, class_logits: Tensor, mask_logits: Tensor, classes: Tensor, masks: Tensor, counts: list[int]
    ) -> Matched:
        """Pairs queries and segments in every layer and image, by masks as small as the queries'."""
        costs = class_costs(softmax(class_logits, -1)[0], classes, 1.0)
        small = nearest(masks, (mask_logits.shape[3], mask_logits.shape[4]))
        costs = costs + mask_costs(mask_logits, small, self.mask_weight, self.dice_weight)  # (D, B, Q, n)
        return match(costs.flatten(0, 1), counts)

    def _check(self, images: int, labels: Labels) -> None:
        if len(labels) != images or not images:
            raise ValueError(
                f"MaskFormerLoss: expected labels of {images} images, at least one, got {len(labels)}"
            )
        size = tuple(labels[0]["masks"].shape[1:])
        for number, of_image in enumerate(labels):
            classes, masks = of_image["class_labels"], of_image["masks"]
            if masks.shape != (len(classes), *size) or masks.dim() != 3:
                raise ValueError(
                    f"MaskFormerLoss: image {number}: expected masks ({len(classes)}, H, W), one for each "
                    f"class and as large as those of the first image, {size}, got {shape(masks)}"
                )
        check_classes("MaskFormerLoss", [of_image["class_labels"] for of_image in labels], self.num_labels)

    def _check_masks(self, masks: Tensor) -> None:
        """Checks that masks ``(B, n, H, W)`` lie between 0 and 1."""
        if not masks.numel():
            return
        darkest, lightest = (float(number) for number in masks.detach().aminmax())
        if not (darkest >= 0 and lightest <= 1):
            outside = ~((masks >= 0) & (masks <= 1)).flatten(1)
            number = int(outside.any(1).to(torch.int64).argmax())
            wrong = float(masks[number].flatten()[outside[number]][0])
            raise ValueError(f"MaskFormerLoss: image {number}: expected masks of 0 and 1, got {wrong:g}")

    def _report(self, ce: Tensor, mask: Tensor, overlap: Tensor) -> None:
        """Keeps the terms of the loss."""
        terms = {"loss_cross_entropy": ce, "loss_mask": mask, "loss_dice": overlap}
        last = len(ce) - 1
        self.terms = {
            name if layer == last else f"{name}_{layer}": values[layer].detach()
            for layer in (last, *range(last))
            for name, values in terms.items()
        }

    def extra_repr(self) -> str:
        return f"{self.num_labels} classes"
