"""LSTMCell: one step of an LSTM."""

from __future__ import annotations

from ds_rnn.cells.recurrent_cell import RecurrentCell
from ds_rnn.functional.lstm import LSTM


class LSTMCell(RecurrentCell):
    """Takes one step of an LSTM.

    i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of W_ih x + b_ih + W_hh h + b_hh
    c' = f c + i g,   h' = o tanh(c')

    The gradients are those of :func:`ds_rnn.functional.lstm.lstm_step_backward`.

    Args:
        input_size: F, the features of the input.
        hidden_size: H, the width of the memory.
        bias: whether b_ih and b_hh are added.
        init: how weights start; None for torch.nn's default, U(-1/sqrt(H), 1/sqrt(H)) for biases, too.
        generator: source of the initial values; None for torch's global one.

    Shape:
        x ``(N, F)``, state (h, c) ``(N, H)`` each, zeros if not given -> (h', c'); or all without N.
        ``backward(grad_h, grad_c)``, either None for zeros, returns the gradient of x, or of x and (h, c) if
        a state was given.

    Raises:
        ValueError: if a shape does not fit.
        TypeError: if x or the state has another dtype than the weights, or the state is of another kind.

    Source: Hochreiter and Schmidhuber, Long Short-Term Memory (1997); Gers et al., Learning to Forget (2000).
    """

    recurrence = LSTM
