"""AdditiveAttention: a small network judges how well query and key match."""

from __future__ import annotations

from typing import final

import torch
from ds_core import Dense, InputGrad, Parameter
from ds_core.initializers import Init, initialize
from ds_core.kernels import dispatch
from torch import Tensor

from ds_rnn import functional
from ds_rnn.attention.attention import Attention

additive_scores, additive_scores_backward = dispatch(functional.additive_scores, half=torch.float32, low=True)
attend, attend_backward = dispatch(functional.attend, half=torch.float32, low=True)


@final
class AdditiveAttention(Attention):
    """Attends by the score of a network with one hidden layer; see :class:`Attention`.

    s_ij = v . tanh(W q_i + U k_j + b)

    With f = tanh(...), g = dL/ds and d_ij = g_ij v (1 - f_ij^2):   dL/dv = sum_ij g_ij f_ij,
    dL/d(W q_i) = sum_j d_ij,   dL/d(U k_j + b) = sum_i d_ij

    This is the "concat" score of Luong et al., too: v . tanh(M [q, k]) with M = [W, U].

    Args:
        query_dim: width of a query.
        key_dim: width of a key.
        attention_dim: A, the width of the hidden layer; None for that of a query.
        bias: whether b is added.
        device: of the parameters.
        dtype: of the parameters.
        init: initial W, U and v; None for torch.nn.Linear's default.
        generator: source of the initial values; None for torch's global one.

    Shape:
        As :class:`Attention`; query_proj.weight W ``(A, query_dim)``, key_proj.weight U ``(A, key_dim)``,
        key_proj.bias b ``(A,)``, v ``(A,)``.

    Source: Bahdanau et al., Neural Machine Translation by Jointly Learning to Align and Translate (2015),
    section A.1.2.
    """

    v: Tensor

    def __init__(
        self,
        query_dim: int,
        key_dim: int,
        attention_dim: int | None = None,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        width = query_dim if attention_dim is None else attention_dim
        self.query_dim, self.key_dim, self.attention_dim = query_dim, key_dim, width
        self.query_proj = Dense(query_dim, width, False, device, dtype, init=init, generator=generator)
        self.key_proj = Dense(key_dim, width, bias, device, dtype, init=init, generator=generator)
        v = torch.empty(
            1, width, device=device, dtype=dtype
        )  # a row of a matrix, for the initialisation's sake
        initialize(v, init, generator)
        self.v = Parameter(v.view(-1))

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
        scores, scored = additive_scores(self.query_proj(query), keys, self.v)
        (context, weights), attended = attend(scores, value, hidden)
        self.save(scored, attended)
        return context, weights

    def look_backward(
        self, grad_context: Tensor, grad_weights: Tensor | None = None
    ) -> tuple[InputGrad, Tensor, Tensor]:
        scored, attended = self.saved()
        grad_scores, grad_value = attend_backward((grad_context, grad_weights), attended)
        wanted = (True, True, *self.wants("v"))
        grad_query, grad_keys, grad_v = additive_scores_backward(grad_scores, scored, wanted=wanted)
        self.add_grad("v", grad_v)
        return self.query_proj.backward(grad_query), grad_keys, grad_value

    def extra_repr(self) -> str:
        return super().extra_repr() + (
            "" if self.attention_dim == self.query_dim else f", attention_dim={self.attention_dim}"
        )
