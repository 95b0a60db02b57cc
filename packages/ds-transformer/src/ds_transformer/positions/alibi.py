"""ALiBi: attention that fades with distance, at a pace of its own in every head."""

from __future__ import annotations

from typing import final

import torch
from ds_core import Module
from torch import Tensor

from ds_transformer.positions.checks import check_counts
from ds_transformer.positions.distances import distances


def alibi_slopes(num_heads: int) -> list[float]:
    """Returns how fast attention fades in each head.

    m_h = 2^(-8h / H) for h = 1 ... H, where H is a power of two. Otherwise the slopes for the power of two
    below H come first, then every second one, from the first, of those for twice that power.

    Args:
        num_heads: H.

    Raises:
        ValueError: if there are no heads.

    Source: Press et al., Train Short, Test Long (2022), section 3 and, for other H, the authors' program.
    """
    if num_heads < 1:
        raise ValueError(f"alibi_slopes: expected at least 1 head, got {num_heads}")
    power = 1 << (num_heads.bit_length() - 1)  # the largest power of two up to H
    slopes = [2.0 ** (-8 * h / power) for h in range(1, power + 1)]
    finer = [2.0 ** (-8 * h / (2 * power)) for h in range(1, 2 * power + 1, 2)]
    return slopes + finer[: num_heads - power]


@final
class ALiBi(Module):
    """Makes scores that fall with the distance between query and key; there is nothing to learn.

    b_hts = -m_h |past + t - s|

    In a causal model the keys ahead of a query are hidden by the mask; elsewhere they fade like those
    behind it. The latest result is kept and handed out again: do not write on it.

    Args:
        num_heads: H; see :func:`alibi_slopes` for m_h.

    Shape:
        queries T, keys S, past: how many keys lie before the first query -> ``(H, T, S)``, to be added to the
        scores; backward takes its gradient and returns None.

    Raises:
        ValueError: if there are no heads, or a number is negative.

    Source: Press et al., Train Short, Test Long: Attention with Linear Biases Enables Input Length
    Extrapolation (2022), section 3.
    """

    _like: Tensor

    def __init__(self, num_heads: int) -> None:
        self.num_heads = num_heads
        self.slopes = alibi_slopes(num_heads)
        # Moves with the model, and so knows in which type and where it computes.
        self.register_buffer("_like", torch.empty(0), persistent=False)
        self._latest: tuple[tuple[object, ...], Tensor] | None = None

    def forward(self, queries: int, keys: int, past: int = 0) -> Tensor:
        check_counts(self, queries, keys, past)
        self.save()
        key = (queries, keys, past, self._like.dtype, self._like.device)
        if self._latest is None or self._latest[0] != key:
            with torch.inference_mode(False), torch.no_grad():  # training may be next
                self._latest = key, self._bias(queries, keys, past)
        return self._latest[1]

    def backward(self, grad: Tensor) -> None:
        self.saved()

    def _bias(self, queries: int, keys: int, past: int) -> Tensor:
        slopes = torch.tensor(self.slopes, dtype=self._like.dtype, device=self._like.device)
        apart = distances(queries, keys, past, self._like.device).abs()  # (T, S)
        return apart * -slopes.view(-1, 1, 1)  # (H, T, S)

    def extra_repr(self) -> str:
        return f"{self.num_heads}"
