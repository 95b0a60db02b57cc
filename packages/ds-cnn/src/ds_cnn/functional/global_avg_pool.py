"""Global average pooling: the mean of each channel."""

from __future__ import annotations

import torch
from torch import Tensor


def global_avg_pool(x: Tensor) -> tuple[Tensor, torch.Size]:
    """Takes the mean of each channel over its pixels: ``(..., H, W)`` -> ``(...)``."""
    return x.mean((-2, -1)), x.shape


def global_avg_pool_backward(grad: Tensor, saved: torch.Size) -> Tensor:
    """Hands every pixel an equal share:   dL/dx = dL/dy / (H W)."""
    height, width = saved[-2:]
    return (grad / (height * width))[..., None, None].expand(saved)  # mean
