"""Matching: what it costs to let a query answer for a segment, by its mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from ds_core import functional as core
from ds_core.kernels import dispatch
from torch import Tensor

# What labels of an image are: {"class_labels": (n,), "masks": (n, H, W)}.
Labels = Sequence[Mapping[str, Tensor]]

ALPHA, GAMMA = 0.25, 2.0  # of the focal loss
SMOOTH = 1.0  # of the dice loss

sigmoid, _ = dispatch(core.sigmoid, half=torch.float32)
softplus, _ = dispatch(core.softplus, half=torch.float32)


def mask_costs(logits: Tensor, masks: Tensor, focal_weight: float, dice_weight: float) -> Tensor:
    """Compares each query's mask with each segment's, by the losses that it would then be told.

    focal_weight mean over places of focal(x, t) + dice_weight (1 - (2 sum p t + 1) / (sum p + sum t + 1)),
    p = sigmoid(x)

    As t is 0 or 1, the sum of focal(x, t) is the product of focal(x, 1) - focal(x, 0) and t, and the sum of
    focal(x, 0): no map of a pair is ever made. With c = softplus(x) = -log(1 - p) and c - x = -log p:

    focal(x, 0) = (1 - alpha) p^gamma c,   focal(x, 1) = alpha (1 - p)^gamma (c - x)

    Args:
        logits: x ``(..., Q, h, w)``.
        masks: t ``(..., n, h, w)``, of the same type.
        focal_weight: of the focal loss.
        dice_weight: of the dice loss.

    Returns:
        ``(..., Q, n)``.

    Source: Cheng et al., Per-Pixel Classification is Not All You Need for Semantic Segmentation (2021),
    section 3.2.
    """
    x, t = logits.flatten(-2), masks.flatten(-2).mT  # (..., Q, S), (..., S, n)
    (p, _), (c, _) = sigmoid(x, keep=False), softplus(x, keep=False)
    no = (p**GAMMA).mul_(c).mul_(1 - ALPHA)
    yes = ((1 - p) ** GAMMA).mul_(c - x).mul_(ALPHA)
    wrong = ((yes - no) @ t + no.sum(-1, keepdim=True)) / max(1, x.shape[-1])
    sizes = p.sum(-1, keepdim=True) + t.sum(-2, keepdim=True)
    apart = 1 - (2 * (p @ t) + SMOOTH) / (sizes + SMOOTH)
    return focal_weight * wrong + dice_weight * apart


def padded(labels: Labels, dtype: torch.dtype) -> tuple[Tensor, Tensor, list[int]]:
    """Lays segments side by side:   classes ``(B, n)``, masks ``(B, n, H, W)``, and how many are real."""
    counts = [len(of_image["class_labels"]) for of_image in labels]
    like = labels[0]["masks"]
    size = (len(counts), max(counts))
    classes = torch.zeros(size, dtype=torch.int64, device=like.device)
    masks = torch.zeros(*size, *like.shape[1:], dtype=dtype, device=like.device)
    for row, (count, of_image) in enumerate(zip(counts, labels, strict=True)):
        classes[row, :count] = of_image["class_labels"]
        masks[row, :count] = of_image["masks"].to(dtype)
    return classes, masks, counts


def nearest(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Brings masks ``(..., H, W)`` to another size: a place takes the pixel under its upper left corner."""
    rows, columns = (
        torch.tensor([place * old // new for place in range(new)], device=masks.device)
        for new, old in zip(size, masks.shape[-2:], strict=True)
    )
    return masks.index_select(-2, rows).index_select(-1, columns)
