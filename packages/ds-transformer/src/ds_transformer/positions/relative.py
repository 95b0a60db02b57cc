"""RelativePositionBias: a learned score for every distance, far ones sharing a bucket."""

from __future__ import annotations

import math
from typing import final

import torch
from ds_core import Embedding, Module
from ds_core.initializers import Init
from torch import Tensor

from ds_transformer.positions.checks import check_counts
from ds_transformer.positions.distances import distances


def relative_position_bucket(
    distance: Tensor, bidirectional: bool = True, num_buckets: int = 32, max_distance: int = 128
) -> Tensor:
    """Sorts distances into buckets: one for each near distance, wider and wider ones further away.

    With d = |distance|, n buckets for a direction and e = n // 2 of them exact:

    bucket = d if d < e, else min(n - 1, e + floor((n - e) log(d / e) / log(max_distance / e)))

    Where keys ahead count, too, they have a second set of n buckets, after the first; else they all go to
    bucket 0, with the query itself.

    Args:
        distance: position of the key minus that of the query, integers of any shape.
        bidirectional: whether keys ahead of the query have buckets of their own.
        num_buckets: of both directions together.
        max_distance: from here on, everything falls into the last bucket.

    Returns:
        Integers from 0 to num_buckets - 1, shaped like the distances.

    Raises:
        ValueError: if the buckets are too few, or do not reach max_distance.

    Source: Raffel et al., Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer
    (2020), section 2.1; the formula is that of the authors' program.
    """
    buckets = num_buckets // 2 if bidirectional else num_buckets
    exact = buckets // 2
    if exact < 1 or (bidirectional and num_buckets % 2) or max_distance <= exact:
        least = "an even num_buckets of at least 4" if bidirectional else "num_buckets of at least 2"
        raise ValueError(
            f"relative_position_bucket: expected {least} and max_distance above the {exact} exact buckets, "
            f"got num_buckets={num_buckets}, max_distance={max_distance}"
        )
    apart = distance.abs() if bidirectional else -distance.clamp(max=0)
    # In float32 and in this order, as elsewhere: what lies on the edge of a bucket must not change sides.
    share = torch.log(apart.clamp(min=exact).float() / exact) / math.log(max_distance / exact)
    far = (exact + (share * (buckets - exact)).to(distance.dtype)).clamp(max=buckets - 1)
    bucket = torch.where(apart < exact, apart, far)
    return torch.where(distance <= 0, bucket, bucket + buckets) if bidirectional else bucket


@final
class RelativePositionBias(Module):
    """Looks up a trained score for every query and key by the bucket of their distance.

    b_hts = W_(bucket(s - t - past), h),   dL/dW_(v, h) = sum of g_hts over all (t, s) in bucket v

    Args:
        num_heads: H.
        num_buckets: V; see :func:`relative_position_bucket`.
        max_distance: from here on, everything falls into the last bucket.
        bidirectional: whether keys ahead of the query have buckets of their own: True in an encoder, False
            in a decoder.
        device: of W.
        dtype: of W.
        init: initial W: a name or function of :mod:`ds_core.initializers`; None for N(0, 1).
        generator: source of the initial values; None for torch's global one.

    Shape:
        queries T, keys S, past: how many keys lie before the first query -> ``(H, T, S)``, to be added to the
        scores; relative_attention_bias.weight W ``(V, H)``. Backward takes the gradient ``(H, T, S)`` and
        returns None.

    Raises:
        ValueError: if there are no heads, too few buckets, or a number is negative.

    Source: Raffel et al., Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer
    (2020), section 2.1.
    """

    def __init__(
        self,
        num_heads: int,
        num_buckets: int = 32,
        max_distance: int = 128,
        bidirectional: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        if num_heads < 1:
            raise ValueError(f"RelativePositionBias: expected at least 1 head, got {num_heads}")
        self.num_heads, self.num_buckets = num_heads, num_buckets
        self.max_distance, self.bidirectional = max_distance, bidirectional
        relative_position_bucket(torch.zeros(1, dtype=torch.int64), bidirectional, num_buckets, max_distance)
        self.relative_attention_bias = Embedding(
            num_buckets, num_heads, device=device, dtype=dtype, init=init, generator=generator
        )
        self._latest: tuple[tuple[object, ...], Tensor] | None = None

    def forward(self, queries: int, keys: int, past: int = 0) -> Tensor:
        check_counts(self, queries, keys, past)
        return self.relative_attention_bias(self.buckets(queries, keys, past)).permute(2, 0, 1)  # (H, T, S)

    def backward(self, grad: Tensor) -> None:
        self.relative_attention_bias.backward(grad.permute(1, 2, 0))

    def buckets(self, queries: int, keys: int, past: int = 0) -> Tensor:
        """Returns the bucket of every query and key, ``(T, S)``; the latest ones are kept."""
        device = self.relative_attention_bias.weight.device
        key = (queries, keys, past, device)
        if self._latest is None or self._latest[0] != key:
            with torch.inference_mode(False):  # training may be next
                self._latest = (
                    key,
                    relative_position_bucket(
                        distances(queries, keys, past, device),
                        self.bidirectional,
                        self.num_buckets,
                        self.max_distance,
                    ),
                )
        return self._latest[1]

    def extra_repr(self) -> str:
        one_way = "" if self.bidirectional else ", bidirectional=False"
        return f"{self.num_heads}, {self.num_buckets}, {self.max_distance}{one_way}"
