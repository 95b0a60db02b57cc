"""Random bits for dropout of attention weights, see ``functional/dropout_factors.py``."""

from __future__ import annotations

import torch
from ds_core.random_state import generator_now
from torch import Tensor


def draw_noise(query: Tensor, keys: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Draws what dropout needs: random bits for each query ``(..., T, 1)`` and for each key ``(S,)``."""
    source = generator_now(generator)

    def bits(*size: int) -> Tensor:
        low, high = -(2**31), 2**31
        return torch.randint(low, high, size, dtype=torch.int32, device=query.device, **source)

    return bits(*query.shape[:-1], 1), bits(keys)
