"""Padding on a processor: whole pixels are copied, whose channels lie side by side."""

from __future__ import annotations

import torch
from ds_core.kernels import kernel
from torch import Tensor

from ds_cnn.functional.pad import Saved, pad, sources
from ds_cnn.kernels.images import canvas, channels_first, pixels_last
from ds_cnn.kernels.windows import batched

TYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)  # numbers are copied, not computed


@kernel(pad, dtypes=TYPES)
class PadKernel:
    """Places images on a canvas, or takes their rows and columns from where they come."""

    @staticmethod
    def forward(
        x: Tensor, padding: tuple[int, int, int, int], mode: str = "zeros", value: float = 0.0
    ) -> tuple[Tensor, Saved]:
        (left, right, top, bottom), images = padding, pixels_last(batched(x))
        height, width = x.shape[-2:]
        if mode == "zeros":
            y = canvas(images, (top, left), (top + height + bottom, left + width + right), value)
        else:
            y = images.index_select(1, sources(height, top, bottom, mode, x))
            y = y.index_select(2, sources(width, left, right, mode, x))
        return channels_first(y).reshape(*x.shape[:-2], *y.shape[1:3]), Saved((height, width), padding, mode)

    @staticmethod
    def backward(grad: Tensor, saved: Saved) -> Tensor:
        (height, width), (left, right, top, bottom), mode = saved
        grads = pixels_last(batched(grad))
        if mode == "zeros":
            grad_x = canvas(grads, (-top, -left), (height, width))
        else:
            rows, columns = sources(height, top, bottom, mode, grad), sources(width, left, right, mode, grad)
            n, _, wide, channels = grads.shape
            by_row = grads.new_zeros(n, height, wide, channels).index_add_(1, rows, grads)
            grad_x = grads.new_zeros(n, height, width, channels).index_add_(2, columns, by_row)
        return channels_first(grad_x).reshape(*grad.shape[:-2], height, width)
