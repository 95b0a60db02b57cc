"""RecurrentEncoder: reads a sentence in both directions."""

from __future__ import annotations

from typing import Any

import torch
from ds_core import Dense, Dropout, Embedding, Module, ModuleList, Sequential, Tanh
from torch import Tensor

from ds_rnn.layers import GRU, LSTM, RNN
from ds_rnn.layers.checks import state_parts
from ds_rnn.layers.recurrent import AnyState

LAYERS: dict[str, Any] = {"rnn": RNN, "gru": GRU, "lstm": LSTM}


def layer_of(owner: str, cell: str) -> Any:
    """Returns the class of a kind of layer, by its name.

    Raises:
        ValueError: if none is; names the owner.
    """
    if cell not in LAYERS:
        raise ValueError(f"{owner}: expected cell {' or '.join(LAYERS)}, got {cell!r}")
    return LAYERS[cell]


class RecurrentEncoder(Module):
    """Reads sentences in both directions, and hands a decoder its first state.

    memory = rnn(embedding(ids)),   state = tanh(W [last forward state, last backward state] + b) for each
    layer

    Args:
        vocab_size: V, how many tokens there are.
        embedding_dim: E.
        hidden_size: H, of each direction, and of the decoder.
        num_layers: layers of the recurrent network.
        cell: "rnn", "gru" or "lstm".
        dropout: of embeddings, and between layers.
        padding_idx: the token that fills short rows.
        generator: source of initial values and dropout; None for torch's global one.

    Shape:
        ids ``(B, S)`` int64, lengths ``(B,)`` -> memory ``(B, S, 2 H)``, and the state ``(layers, B, H)``, or
        a pair of these for "lstm". ``backward(grad_memory, grad_state)`` takes None for zeros, also within
        the pair.

    Raises:
        ValueError: if the cell is another word, or a shape or length does not fit.

    Source: Bahdanau et al., Neural Machine Translation by Jointly Learning to Align and Translate (2015),
    section 3.2.
    """

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int,
        hidden_size: int,
        num_layers: int = 1,
        cell: str = "gru",
        dropout: float = 0.0,
        padding_idx: int | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        self.embedding = Embedding(
            vocab_size, embedding_dim, padding_idx, init="xavier_uniform", generator=generator
        )
        self.dropout = Dropout(dropout, generator=generator)
        self.rnn = layer_of("RecurrentEncoder", cell)(
            embedding_dim,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
            bidirectional=True,
            generator=generator,
        )
        self.bridges = ModuleList(
            Sequential(Dense(2 * hidden_size, hidden_size, generator=generator), Tanh())
            for _ in range(self.rnn.states)  # of h and c
        )

    def forward(self, ids: Tensor, lengths: Tensor | list[int] | None = None) -> tuple[Tensor, AnyState]:
        memory, state = self.rnn(self.dropout(self.embedding(ids)), lengths=lengths)
        parts = state if isinstance(state, tuple) else (state,)
        bridged = [bridge(joined(part)) for bridge, part in zip(self.bridges, parts, strict=True)]
        self.save(bridged[0])
        return memory, bridged[0] if len(bridged) == 1 else tuple(bridged)

    def backward(self, grad_memory: Tensor | None, grad_state: AnyState = None) -> None:
        (bridged,) = self.saved()
        grads: list[Tensor | None] = [None] * self.rnn.states
        if grad_state is not None:
            grads = state_parts(self, grad_state, self.rnn.states, gaps=True)
        parts = tuple(
            split(bridge.backward(torch.zeros_like(bridged) if grad is None else grad))
            for bridge, grad in zip(self.bridges, grads, strict=True)
        )
        grad = self.rnn.backward(grad_memory, parts[0] if len(parts) == 1 else parts)
        self.embedding.backward(self.dropout.backward(grad))


def joined(state: Tensor) -> Tensor:
    """Puts the states of the two directions side by side: ``(2 layers, B, H)`` -> ``(layers, B, 2 H)``."""
    both, batch, size = state.shape
    return state.view(both // 2, 2, batch, size).transpose(1, 2).reshape(both // 2, batch, 2 * size)


def split(state: Tensor) -> Tensor:
    """Splits them again: ``(layers, B, 2 H)`` -> ``(2 layers, B, H)``."""
    layers, batch, size = state.shape
    return state.view(layers, batch, 2, size // 2).transpose(1, 2).reshape(2 * layers, batch, size // 2)
