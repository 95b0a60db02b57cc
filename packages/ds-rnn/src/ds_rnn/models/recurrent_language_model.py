"""RecurrentLanguageModel: predicts the next token, and so writes text."""

from __future__ import annotations

from typing import Any

import torch
from ds_core import Embedding, InputGrad
from ds_core.checks import check_whole, shape, shown
from ds_core.module import evaluating
from ds_core.text import sample
from torch import Tensor

from ds_rnn.models.sequence_model import SequenceModel


class RecurrentLanguageModel(SequenceModel):
    """Predicts at every place of a text which token comes next.

    logits_t = W h_t + b,   h_t = rnn(embedding(x_t), h_(t-1))

    It takes and gives a state, so a long text can be read in chunks, each going on where the last one ended.
    What stands in the state from earlier chunks is a constant to the gradient: truncated backpropagation
    through time. To let the gradient cross the border, pass ``grad_state`` on. (Under torch's autograd the
    state is no constant: detach it, as with torch.nn.) A :class:`~ds_core.Trainer` trains
    ``FirstOutput(model)``, which passes the state over: every window of the text is read from the start.

    Args:
        vocab_size: V, how many tokens there are.
        embedding_dim: E.
        hidden_size: H.
        num_layers: layers of the recurrent network.
        cell: "rnn", "gru" or "lstm".
        dropout: before and after the recurrent network, and between its layers.
        tie_weights: whether the last layer's weights are the embedding's; needs E = H.
        generator: source of initial values and dropout; None for torch's global one.

    Shape:
        tokens ``(B, T)`` int64, state as of the recurrent network, None for zeros -> logits ``(B, T, V)`` and
        the new state. ``backward(grad, grad_state)`` returns None and the state's gradient, or None if no
        state was given.

    Raises:
        ValueError: if the cell is another word, a shape does not fit, or weights of different widths are to
            be tied.
        IndexError: if a token id is outside the vocabulary.

    Source: Mikolov et al., Recurrent Neural Network Based Language Model (2010); Press and Wolf, Using the
    Output Embedding to Improve Language Models (2017), for the tying.
    """

    embedding: Embedding

    def __init__(
        self,
        vocab_size: int,
        embedding_dim: int = 128,
        hidden_size: int = 256,
        num_layers: int = 1,
        cell: str = "lstm",
        dropout: float = 0.0,
        tie_weights: bool = False,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(
            vocab_size, vocab_size, embedding_dim, hidden_size, num_layers, cell, False, dropout, generator
        )
        if tie_weights:
            if embedding_dim != hidden_size:
                raise ValueError(
                    "RecurrentLanguageModel: expected embedding_dim and hidden_size "
                    "to be equal for tied weights, "
                    f"got {embedding_dim} and {hidden_size}"
                )
            self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        output, state = self.read(tokens, state)
        return self.head(self.dropout2(output)), state

    def backward(self, grad: Tensor, grad_state: Any = None) -> InputGrad:
        grad = self.dropout2.backward(self.head.backward(grad))
        _, grad_start = self.read_backward(grad, grad_state)
        return None if grad_start is None else (None, grad_start)  # tokens have no gradient

    @torch.no_grad()
    def generate(
        self,
        tokens: Tensor,
        length: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Continues texts, one token after the other.

        Args:
            tokens: the beginnings, ``(B, T)``, or ``(T,)`` of one, T at least 1.
            length: how many tokens to add.
            temperature: below 1 bolder, above 1 more varied, 0 greedy; see :func:`ds_core.text.sample`.
            top_k: keep only the k likeliest tokens.
            top_p: keep the fewest likeliest tokens whose probabilities sum to at least p.
            generator: source of the random numbers; None for torch's global one.

        Returns:
            The beginnings and what follows, ``(B, T + length)`` or ``(T + length,)``.

        Raises:
            TypeError: if the beginnings are no tensor, or the length is no whole number.
            ValueError: if there is no token to begin with, or an option is out of range.
        """
        who = f"{self.label()}.generate"
        check_whole(who, 0, length=length)
        if not isinstance(tokens, Tensor):
            raise TypeError(f"{who}: expected tokens (B, T) or (T,) as a tensor, got {shown(tokens)}")
        rows = tokens if tokens.dim() == 2 else tokens[None]
        if rows.dim() != 2 or rows.shape[1] == 0:
            raise ValueError(f"{who}: expected at least one token to begin with, got shape {shape(tokens)}")
        state, latest = None, rows
        with evaluating(self):
            for _ in range(length):
                logits, state = self(latest, state)
                latest = sample(logits[:, -1], temperature, top_k, top_p, generator)[:, None]
                rows = torch.cat([rows, latest], dim=1)
        return rows if tokens.dim() == 2 else rows[0]
