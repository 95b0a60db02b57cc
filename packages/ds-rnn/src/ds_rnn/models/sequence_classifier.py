"""SequenceClassifier: reads a whole sequence and says one thing of it."""

from __future__ import annotations

import torch
from ds_core import Embedding, InputGrad
from ds_core.checks import shape
from torch import Tensor

from ds_rnn.models.sequence_model import SequenceModel


class SequenceClassifier(SequenceModel):
    """Classifies sequences: many to one.

    logits = W [last forward state, last backward state] + b, of the topmost layer

    Args:
        vocab_size: how many tokens there are; None if each step already is a vector of ``embedding_dim``
            numbers.
        num_classes: C.
        embedding_dim: E, the width of a step.
        hidden_size: H, of each direction.
        num_layers: layers of the recurrent network.
        cell: "rnn", "gru" or "lstm".
        bidirectional: whether it reads from both ends.
        dropout: before and after the recurrent network, and between its layers.
        generator: source of initial values and dropout; None for torch's global one.

    Shape:
        tokens ``(B, T)`` int64, or x ``(B, T, E)`` without a vocabulary; lengths ``(B,)``, None if nothing is
        padding -> logits ``(B, C)``.

    Raises:
        ValueError: if the cell is another word, or a shape does not fit.
        IndexError: if a token id is outside the vocabulary.
    """

    def __init__(
        self,
        vocab_size: int | None,
        num_classes: int,
        embedding_dim: int = 64,
        hidden_size: int = 128,
        num_layers: int = 1,
        cell: str = "gru",
        bidirectional: bool = True,
        dropout: float = 0.0,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            vocab_size,
            num_classes,
            embedding_dim,
            hidden_size,
            num_layers,
            cell,
            bidirectional,
            dropout,
            generator,
        )

    def forward(self, x: Tensor, lengths: Tensor | list[int] | None = None) -> Tensor:
        steps = 2 if isinstance(self.embedding, Embedding) else 3
        if x.dim() != steps:
            what = "tokens (B, T)" if steps == 2 else f"x (B, T, {self.rnn.input_size})"
            raise ValueError(f"{self.label()}: expected {what}, got {shape(x)}")
        _, state = self.read(x, lengths=lengths)
        h = state[0] if isinstance(state, tuple) else state  # (layers directions, B, H)
        directions = 2 if self.rnn.bidirectional else 1
        last = torch.cat(h[-directions:].unbind(0), dim=1)  # (B, directions H)
        self.save(h.shape)
        return self.head(self.dropout2(last))

    def backward(self, grad: Tensor) -> InputGrad:
        (size,) = self.saved()
        grad = self.dropout2.backward(self.head.backward(grad))
        directions = 2 if self.rnn.bidirectional else 1
        grad_h = grad.new_zeros(size)
        grad_h[-directions:] = torch.stack(grad.chunk(directions, dim=1))
        grad_state = (grad_h, None) if self.rnn.states == 2 else grad_h
        return self.read_backward(None, grad_state)[0]
