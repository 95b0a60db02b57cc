"""RNN: the plain recurrent network."""

from __future__ import annotations

from typing import Literal

import torch
from ds_core.initializers import Init

from ds_rnn.functional.rnn import recurrence_of
from ds_rnn.layers.recurrent import Recurrent

Nonlinearity = Literal["tanh", "relu"]


class RNN(Recurrent):
    """Reads sequences step by step, and mixes each input into its state.

    h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh), or relu instead of tanh

    Backwards from the last step, with a_t the sum inside tanh:   dL/da_t = dL/dh_t (1 - h_t^2),
    dL/dh_(t-1) = dL/da_t W_hh,   dL/dx_t = dL/da_t W_ih,   dL/dW_hh = sum over t of dL/da_t^T h_(t-1)

    Args:
        input_size: F, the features of each step.
        hidden_size: H, the width of the state.
        num_layers: how many are stacked, each reading what the one below wrote.
        nonlinearity: "tanh" or "relu".
        bias: whether b_ih and b_hh are added.
        batch_first: whether sequences are laid out as ``(N, L, F)``.
        dropout: the share of numbers dropped between two layers in training.
        bidirectional: whether a second network reads from the end, and the outputs are put side by side.
        init: how weights start; None for torch.nn's default, U(-1/sqrt(H), 1/sqrt(H)) for biases, too.
        generator: source of the initial values and of dropout; None for torch's global one.

    Shape:
        x ``(L, N, F)``, ``(N, L, F)`` if batch_first, ``(L, F)`` without a batch; state h ``(layers
        directions, N, H)``, zeros if not given; lengths ``(N,)``, how many steps of each sequence are no
        padding -> output ``(L, N, directions H)``, zero beyond a sequence's end, and the last state.
        ``backward`` returns the gradient of x, or of x and the state if one was given.

    Raises:
        ValueError: if a shape does not fit, there is no step, a length is not between 1 and L, or the
            nonlinearity is another word.
        TypeError: if x or the state has another dtype than the weights, or the state is of another kind.

    Source: Elman, Finding Structure in Time (1990); Werbos, Backpropagation Through Time (1990).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: Nonlinearity = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        self.nonlinearity = nonlinearity
        self.recurrence = recurrence_of(type(self).__name__, nonlinearity)
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            init=init,
            generator=generator,
        )

    def extra_repr(self) -> str:
        relu = "" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity!r}"
        return super().extra_repr() + relu
