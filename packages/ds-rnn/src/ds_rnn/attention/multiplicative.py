"""MultiplicativeAttention: a scalar product says how well query and key match."""

from __future__ import annotations

from typing import Literal

import torch
from ds_core import Dense, Identity
from ds_core.initializers import Init
from torch import Tensor

from ds_rnn.attention.attention import Attention
from ds_rnn.functional.attention import dot_scores, dot_scores_backward

Score = Literal["dot", "general"]


class MultiplicativeAttention(Attention):
    """Attends by the score of a scalar product; see :class:`Attention`.

    dot: s_ij = q_i . k_j,   general: s_ij = q_i . W k_j

    With G = dL/dS:   dL/dQ = G K W^T,   dL/d(K W^T) = G^T Q

    Args:
        query_dim: width of a query.
        key_dim: width of a key; None for that of a query.
        kind: "general", with a learned W between the two, or "dot", without, where the widths must be equal.
        init: how W starts; None for torch.nn.Linear's default.
        generator: source of the initial values; None for torch's global one.

    Shape:
        As :class:`Attention`; key_proj.weight W ``(query_dim, key_dim)``.

    Raises:
        ValueError: if the kind is another word, or it is "dot" and the widths differ.

    Source: Luong et al., Effective Approaches to Attention-based Neural Machine Translation (2015), equation
    8; its "concat" is :class:`AdditiveAttention`.
    """

    def __init__(
        self,
        query_dim: int,
        key_dim: int | None = None,
        kind: Score = "general",
        *,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        key_dim = query_dim if key_dim is None else key_dim
        if kind not in ("dot", "general"):
            raise ValueError(f"MultiplicativeAttention: expected kind 'dot' or 'general', got {kind!r}")
        if kind == "dot" and query_dim != key_dim:
            raise ValueError(
                f"MultiplicativeAttention: expected queries as wide as keys for kind='dot', "
                f"got query_dim={query_dim}, key_dim={key_dim}"
            )
        self.query_dim, self.key_dim, self.kind = query_dim, key_dim, kind
        self.key_proj = (
            Identity()
            if kind == "dot"
            else Dense(key_dim, query_dim, bias=False, init=init, generator=generator)
        )

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        self.save(query, keys)
        return dot_scores(query, keys)

    def score_backward(self, grad: Tensor) -> tuple[Tensor, Tensor]:
        query, keys = self.saved()
        return dot_scores_backward(grad, query, keys)

    def extra_repr(self) -> str:
        return super().extra_repr() + (", kind='dot'" if self.kind == "dot" else "")
