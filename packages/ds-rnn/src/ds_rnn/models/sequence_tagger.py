"""SequenceTagger: says something of every step of a sequence."""

from __future__ import annotations

import torch
from ds_core import InputGrad
from torch import Tensor

from ds_rnn.models.sequence_model import SequenceModel


class SequenceTagger(SequenceModel):
    """Labels every step of sequences: many to many.

    logits_t = W [forward output_t, backward output_t] + b

    Args:
        vocab_size: how many tokens there are; None if each step already is a vector of ``embedding_dim``
            numbers.
        num_tags: C.
        embedding_dim: E, the width of a step.
        hidden_size: H, of each direction.
        num_layers: layers of the recurrent network.
        cell: "rnn", "gru" or "lstm".
        bidirectional: whether it reads from both ends.
        dropout: before and after the recurrent network, and between its layers.
        generator: source of initial values and dropout; None for torch's global one.

    Shape:
        tokens ``(B, T)`` int64, or x ``(B, T, E)`` without a vocabulary; lengths ``(B,)``, None if nothing is
        padding -> logits ``(B, T, C)``; on padding they are b and mean nothing: give them the loss's
        ``ignore_index``.

    Raises:
        ValueError: if the cell is another word, or a shape does not fit.
        IndexError: if a token id is outside the vocabulary.
    """

    def __init__(
        self,
        vocab_size: int | None,
        num_tags: int,
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
            num_tags,
            embedding_dim,
            hidden_size,
            num_layers,
            cell,
            bidirectional,
            dropout,
            generator,
        )

    def forward(self, x: Tensor, lengths: Tensor | list[int] | None = None) -> Tensor:
        output, _ = self.read(x, lengths=lengths)
        return self.head(self.dropout2(output))

    def backward(self, grad: Tensor) -> InputGrad:
        return self.read_backward(self.dropout2.backward(self.head.backward(grad)))[0]
