"""RecurrentDecoder: writes a sentence, looking at what an encoder has read."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from ds_core import Dense, Dropout, Embedding, Module, Sequential, Tanh
from torch import Tensor

from ds_rnn.attention import AdditiveAttention, Attention, MultiplicativeAttention
from ds_rnn.layers.checks import state_parts
from ds_rnn.layers.recurrent import AnyState
from ds_rnn.models.encoder import layer_of


class DecoderState(NamedTuple):
    """What a decoder carries from word to word, one row for each sentence."""

    rnn: tuple[Tensor, ...]  # (B, layers, H) each
    memory: Tensor  # (B, S, M)
    keys: Tensor  # (B, S, ...), memory as the attention compares it
    hidden: Tensor  # (B, S), True where memory is padding


class RecurrentDecoder(Module):
    """Predicts the next token at every position, from the tokens before it and an encoder's memory.

    h_t = rnn(embedding(y_(t-1)), h_(t-1)),   c_t = attention(h_t, memory)
    logits_t = W_o tanh(W_c [h_t, c_t] + b) + b_o

    Without attention c_t is left out: then all that is known of the source is in the first state. Since h
    does not depend on c, a whole sentence in training goes through the recurrent network, and then the
    attention, at once.

    Args:
        vocab_size: V, how many tokens there are.
        embedding_dim: E.
        hidden_size: H.
        memory_size: M, the width of the memory.
        num_layers: layers of the recurrent network.
        cell: "rnn", "gru" or "lstm".
        attention: "additive", "general" or "dot" (multiplicative; "dot" needs M = H), or None for none.
        dropout: of embeddings, between layers, and before the last layer.
        padding_idx: the token that fills short rows.
        generator: source of initial values and dropout; None for torch's global one.

    Shape:
        ids ``(B, T)`` int64, memory ``(B, S, M)``, state ``(layers, B, H)`` or a pair of these, hidden ``(B,
        S)`` True where memory is padding, or None -> logits ``(B, T, V)``. ``backward`` returns the gradients
        of memory and state.

    Raises:
        ValueError: if cell or attention is another word, or a shape does not fit.
        TypeError: if a type does not, or there is no state.

    Source: Luong et al., Effective Approaches to Attention-based Neural Machine Translation (2015), section
    3.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int,
        hidden_size: int,
        memory_size: int,
        num_layers: int = 1,
        cell: str = "gru",
        attention: str | None = "additive",
        dropout: float = 0.0,
        padding_idx: int | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        self.embedding = Embedding(
            vocab_size, embedding_dim, padding_idx, init="xavier_uniform", generator=generator
        )
        self.dropout = Dropout(dropout, generator=generator)
        self.rnn = layer_of("RecurrentDecoder", cell)(
            embedding_dim,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
            generator=generator,
        )
        self.attention: Attention | None = None
        if attention == "additive":
            self.attention = AdditiveAttention(hidden_size, memory_size, generator=generator)
        elif attention in ("general", "dot"):
            self.attention = MultiplicativeAttention(
                hidden_size, memory_size, "dot" if attention == "dot" else "general", generator=generator
            )
        elif attention is not None:
            raise ValueError(
                f"RecurrentDecoder: expected attention 'additive', 'general', 'dot' or None, "
                f"got {attention!r}"
            )
        width = hidden_size + (memory_size if self.attention is not None else 0)
        self.combine = Sequential(
            Dense(width, hidden_size, generator=generator), Tanh(), Dropout(dropout, generator=generator)
        )
        self.head = Dense(hidden_size, vocab_size, generator=generator)

    def forward(self, ids: Tensor, memory: Tensor, state: AnyState, hidden: Tensor | None = None) -> Tensor:
        state_parts(self, state, self.rnn.states)  # the network itself would begin with zeros for None
        features, _ = self.rnn(self.dropout(self.embedding(ids)), state)  # (B, T, H)
        self.save(memory)
        if self.attention is not None:
            context, _ = self.attention(features, memory, memory, hidden)
            features = torch.cat([features, context], dim=-1)  # (B, T, H + M)
        return self.head(self.combine(features))

    def backward(self, grad: Tensor) -> tuple[Tensor, AnyState]:
        grad = self.combine.backward(self.head.backward(grad))
        (memory,) = self.saved()
        if self.attention is None:
            grad_memory = torch.zeros_like(memory)
        else:
            grad, grad_context = grad.split([self.rnn.hidden_size, memory.shape[2]], dim=-1)
            grad_query, grad_key, grad_value = self.attention.backward(grad_context)
            grad, grad_memory = grad + grad_query, grad_key + grad_value
        grad, grad_state = self.rnn.backward(grad)
        self.embedding.backward(self.dropout.backward(grad))
        return grad_memory, grad_state

    # ---- one word at a time --------------------------------------------------------------------------

    def start(self, memory: Tensor, state: AnyState, hidden: Tensor) -> DecoderState:
        """Returns what the first :meth:`step` takes; the memory's keys are computed once for all words."""
        parts = state_parts(self, state, self.rnn.states)
        keys = memory if self.attention is None else self.attention.key_proj(memory)
        return DecoderState(tuple(part.transpose(0, 1) for part in parts), memory, keys, hidden)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Takes tokens ``(B,)``; returns the logits ``(B, V)`` of what follows, and the new state."""
        parts: Any = tuple(part.transpose(0, 1).contiguous() for part in state.rnn)
        features, after = self.rnn(
            self.embedding(tokens[:, None]), parts[0] if len(parts) == 1 else parts
        )  # (B, 1, H)
        if self.attention is not None:
            context, _ = self.attention.look(features, state.keys, state.memory, state.hidden)
            features = torch.cat([features, context], dim=-1)
        logits = self.head(self.combine(features)).squeeze(1)
        parts = after if isinstance(after, tuple) else (after,)
        return logits, state._replace(rnn=tuple(part.transpose(0, 1) for part in parts))

    def attention_weights(self, ids: Tensor, memory: Tensor, state: AnyState, hidden: Tensor) -> Tensor:
        """Returns which places of the memory each word looked at, ``(B, T, S)``; rows sum to 1."""
        if self.attention is None:
            raise ValueError(f"{self.label()}: has no attention, so there is nothing to see")
        features, _ = self.rnn(self.embedding(ids), state)
        weights: Tensor = self.attention(features, memory, memory, hidden)[1]
        return weights
