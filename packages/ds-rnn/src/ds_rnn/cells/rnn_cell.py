"""RNNCell: one step of a plain recurrent network."""

from __future__ import annotations

import torch
from ds_core.initializers import Init

from ds_rnn.cells.recurrent_cell import RecurrentCell
from ds_rnn.functional.rnn import recurrence_of
from ds_rnn.layers.rnn import Nonlinearity


class RNNCell(RecurrentCell):
    """Takes one step of a plain recurrent network.

    h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu instead of tanh
    With a the sum inside tanh:   dL/da = dL/dh' (1 - h'^2),   dL/dx = dL/da W_ih,   dL/dh = dL/da W_hh

    Args:
        input_size: F, the features of the input.
        hidden_size: H, the width of the state.
        bias: whether b_ih and b_hh are added.
        nonlinearity: "tanh" or "relu".
        init: how weights start; None for torch.nn's default, U(-1/sqrt(H), 1/sqrt(H)) for biases, too.
        generator: source of the initial values; None for torch's global one.

    Shape:
        x ``(N, F)``, state h ``(N, H)``, zeros if not given -> h'; or both without N. ``backward`` returns
        the gradient of x, or of x and h if a state was given.

    Raises:
        ValueError: if a shape does not fit, or the nonlinearity is another word.
        TypeError: if x or the state has another dtype than the weights, or the state is of another kind.

    Source: Elman, Finding Structure in Time (1990).
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: Nonlinearity = "tanh",
        *,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        self.nonlinearity = nonlinearity
        self.recurrence = recurrence_of(type(self).__name__, nonlinearity)
        super().__init__(input_size, hidden_size, bias, init=init, generator=generator)

    def extra_repr(self) -> str:
        relu = "" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity!r}"
        return super().extra_repr() + relu
