"""SequenceModel: the reading half that classifier, tagger and language model share."""

from __future__ import annotations

from typing import Any, Self

import torch
from ds_core import Dense, Dropout, Embedding, Identity, InputGrad, Module
from torch import Tensor

from ds_rnn.models.encoder import layer_of


class SequenceModel(Module):
    """Base of models that read a sequence and say something of it: embedding, recurrent network, last layer.

    Args:
        vocab_size: how many tokens there are; None if each step already is a vector of ``embedding_dim``
            numbers.
        num_outputs: how many numbers the last layer gives.
        embedding_dim: E, the width of a step.
        hidden_size: H, of each direction.
        num_layers: layers of the recurrent network.
        cell: "rnn", "gru" or "lstm".
        bidirectional: whether it reads from both ends.
        dropout: before and after the recurrent network, and between its layers.
        generator: source of initial values and dropout; None for torch's global one.

    Raises:
        ValueError: if the cell is another word.
    """

    def __init__(
        self,
        vocab_size: int | None,
        num_outputs: int,
        embedding_dim: int,
        hidden_size: int,
        num_layers: int,
        cell: str,
        bidirectional: bool,
        dropout: float,
        generator: torch.Generator | None,
    ) -> None:
        self.embedding = (
            Identity() if vocab_size is None else Embedding(vocab_size, embedding_dim, generator=generator)
        )
        self.dropout = Dropout(dropout, generator=generator)
        self.rnn = layer_of(type(self).__name__, cell)(
            embedding_dim,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=dropout if num_layers > 1 else 0.0,
            bidirectional=bidirectional,
            generator=generator,
        )
        self.dropout2 = Dropout(dropout, generator=generator)
        self.head = Dense(hidden_size * (2 if bidirectional else 1), num_outputs, generator=generator)

    def read(
        self, x: Tensor, state: Any = None, lengths: Tensor | list[int] | None = None
    ) -> tuple[Tensor, Any]:
        """Returns what the recurrent network writes at each step, and its last state."""
        output, state = self.rnn(self.dropout(self.embedding(x)), state, lengths)
        return output, state

    def read_backward(self, grad: Tensor | None, grad_state: Any = None) -> tuple[InputGrad, Any]:
        """Returns the gradients of x (None of tokens) and of the initial state (None if none was given)."""
        back = self.rnn.backward(grad, grad_state)
        grad_x, grad_start = back if isinstance(back, tuple) else (back, None)
        return self.embedding.backward(self.dropout.backward(grad_x)), grad_start

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Self:
        """Sets it for the layers that see the input, too; an embedding always needs its gradient."""
        self.input_grad = requires_input_grad
        if isinstance(self.embedding, Identity):
            for layer in (self.embedding, self.dropout, self.rnn):
                layer.requires_input_grad_(requires_input_grad)
        return self
