"""MultiplicativeAttention: a scalar product says how well query and key match."""

from __future__ import annotations

from typing import Literal, final

import torch
from ds_core import Dense, Identity, InputGrad
from ds_core.initializers import Init
from ds_core.kernels import dispatch
from torch import Tensor

from ds_rnn import functional
from ds_rnn.attention.attention import Attention

dot_scores, dot_scores_backward = dispatch(functional.dot_scores, low=True)
attend, attend_backward = dispatch(functional.attend, half=torch.float32, low=True)

Score = Literal["dot", "general"]


@final
class MultiplicativeAttention(Attention):
    """Attends by the score of a scalar product; see :class:`Attention`.

    s_ij = q_i . k_j   ("dot"),   s_ij = q_i . W k_j   ("general")

    With G = dL/dS:   dL/dQ = G K W^T,   dL/d(K W^T) = G^T Q

    Args:
        query_dim: width of a query.
        key_dim: width of a key; None for that of a query.
        kind: "general", with a learned W between the two, or "dot", without, where the widths must be equal.
        device: of the parameters.
        dtype: of the parameters.
        init: initial W; None for torch.nn.Linear's default.
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
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
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
            else Dense(key_dim, query_dim, False, device, dtype, init=init, generator=generator)
        )

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        self.check(query, key, value, key_padding_mask)
        one = query.dim() == 2
        keys = self.key_proj(key)
        context, weights = self.look(query[:, None] if one else query, keys, value, key_padding_mask)
        return (context.squeeze(1), weights.squeeze(1)) if one else (context, weights)

    def backward(self, grad_context: Tensor, grad_weights: Tensor | None = None) -> InputGrad:
        one = grad_context.dim() == 2
        if one:
            grad_context = grad_context[:, None]
            grad_weights = None if grad_weights is None else grad_weights[:, None]
        grad_query, grad_keys, grad_value = self.look_backward(grad_context, grad_weights)
        grad_key = self.key_proj.backward(grad_keys)
        if not self.input_grad:
            return None
        return (grad_query.squeeze(1) if one else grad_query), grad_key, grad_value

    def look(
        self, query: Tensor, keys: Tensor, value: Tensor, hidden: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        scores, scored = dot_scores(query, keys)
        (context, weights), attended = attend(scores, value, hidden)
        self.save(scored, attended)
        return context, weights

    def look_backward(
        self, grad_context: Tensor, grad_weights: Tensor | None = None
    ) -> tuple[InputGrad, Tensor, Tensor]:
        scored, attended = self.saved()
        grad_scores, grad_value = attend_backward((grad_context, grad_weights), attended)
        grad_query, grad_keys = dot_scores_backward(grad_scores, scored)
        return grad_query, grad_keys, grad_value

    def extra_repr(self) -> str:
        return super().extra_repr() + (", kind='dot'" if self.kind == "dot" else "")
