"""Projections on a processor: one copy puts the gradients of all heads of all parts side by side."""

from __future__ import annotations

import torch
from ds_core.kernels import kernel
from ds_core.kernels.linear import LinearKernel
from torch import Tensor

from ds_transformer.functional.projection import Saved, projection, split_heads


@kernel(projection, device=(), dtypes=(torch.float32, torch.float64, torch.float16, torch.bfloat16))
class ProjectionKernel:
    """Multiplies as the kernel of Dense does."""

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, bias: Tensor | None, parts: tuple[int, ...], batch_first: bool
    ) -> tuple[tuple[Tensor, ...], Saved]:
        y, saved = LinearKernel.forward(x, weight, bias)
        heads = split_heads(y, sum(parts), batch_first)
        return (heads,) if len(parts) == 1 else heads.split(parts, 1), (saved, batch_first)

    @staticmethod
    def backward(
        grad: tuple[Tensor, ...], saved: Saved, *, wanted: tuple[bool, ...] | None = None
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        of_linear, batch_first = saved
        order = (0, 2, 1, 3) if batch_first else (2, 0, 1, 3)
        ordered = [part.permute(order) for part in grad]  # (B, T, H D) with heads apart, or (T, B, H D)
        g = ordered[0] if len(ordered) == 1 else torch.cat(ordered, 2)
        return LinearKernel.backward(g.flatten(2), of_linear, wanted=wanted)
