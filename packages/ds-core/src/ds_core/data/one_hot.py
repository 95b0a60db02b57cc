"""one_hot: class indices as rows with a single 1."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.checks import check_whole


def one_hot(labels: Tensor, classes: int | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
    """Writes each class index as a row of zeros with a 1 at its place.

    Args:
        labels: class indices, integer, any shape.
        classes: how many there are; None for the largest index and one.
        dtype: of the result.

    Shape:
        labels ``(...)`` -> ``(..., classes)``.

    Raises:
        TypeError: if labels are not integers.
        ValueError: if a label is outside the classes, or there is none to count them by, or no class.
    """
    if not isinstance(labels, Tensor) or not isinstance(dtype, torch.dtype):
        raise TypeError(f"one_hot: expected a tensor and a dtype, got {type(labels).__name__} and {dtype!r}")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"one_hot: expected integer class indices, got {labels.dtype}")
    if classes is None:
        if not labels.numel():
            raise ValueError("one_hot: expected at least one label, or the number of classes")
        classes = int(labels.max()) + 1
    check_whole("one_hot", classes=classes)
    if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        outside = labels.min() if labels.min() < 0 else labels.max()
        raise ValueError(f"one_hot: expected class indices 0 to {classes - 1}, got {int(outside)}")
    rows = torch.zeros(*labels.shape, classes, dtype=dtype, device=labels.device)
    return rows.scatter_(-1, labels.long().unsqueeze(-1), 1)
