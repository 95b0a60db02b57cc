"""AdditiveAttention: a small network judges how well query and key match."""

from __future__ import annotations

import torch
from ds_core import Dense, InputGrad, Parameter
from ds_core.initializers import Init, initialize
from torch import Tensor

from ds_rnn.attention.attention import Attention
from ds_rnn.functional.attention import (
    additive_scores,
    additive_scores_backward,
    additive_scores_backward_v,
)


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
        init: how W, U and v start; None for torch.nn.Linear's default.
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
        *,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        width = query_dim if attention_dim is None else attention_dim
        self.query_dim, self.key_dim, self.attention_dim = query_dim, key_dim, width
        self.query_proj = Dense(query_dim, width, bias=False, init=init, generator=generator)
        self.key_proj = Dense(key_dim, width, bias, init=init, generator=generator)
        v = torch.empty(1, width)  # a row of a matrix, for the initialisation's sake
        initialize(v, init, generator)
        self.v = Parameter(v.view(-1))

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        scores, features = additive_scores(self.query_proj(query), keys, self.v)
        self.save(features)
        return scores

    def score_backward(self, grad: Tensor) -> tuple[InputGrad, Tensor]:
        (features,) = self.saved()
        self.add_grad("v", lambda: additive_scores_backward_v(grad, features))
        grad_query, grad_keys = additive_scores_backward(grad, features, self.v)
        return self.query_proj.backward(grad_query), grad_keys

    def extra_repr(self) -> str:
        return super().extra_repr() + (
            "" if self.attention_dim == self.query_dim else f", attention_dim={self.attention_dim}"
        )
