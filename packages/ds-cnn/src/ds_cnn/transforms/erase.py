"""erase: a rectangle of every image painted over."""

from __future__ import annotations

import torch
from torch import Tensor


def erase(images: Tensor, top: Tensor, left: Tensor, height: Tensor, width: Tensor, value: Tensor) -> Tensor:
    """Returns images with ``value`` in the rows from top to top + height and the columns from left on.

    Args:
        images: ``(N, C, H, W)``.
        top: first row of each rectangle, ``(N,)``; what reaches beyond the image does not count.
        left: first column, ``(N,)``.
        height: how many rows, ``(N,)``; 0 for nothing at all.
        width: how many columns, ``(N,)``.
        value: what to paint, ``(C or 1, 1, 1)`` or like the images.
    """
    rows = _inside(top, height, images.shape[2], images.device).unsqueeze(2)  # (N, H, 1)
    columns = _inside(left, width, images.shape[3], images.device).unsqueeze(1)  # (N, 1, W)
    return torch.where((rows & columns).unsqueeze(1), value, images)


def _inside(first: Tensor, length: Tensor, size: int, device: torch.device) -> Tensor:
    """Says which of ``size`` places lie in each interval, ``(N, size)``."""
    places = torch.arange(size, device=device)
    return (places >= first.unsqueeze(1)) & (places < (first + length).unsqueeze(1))
