"""GRUCell: one step of a GRU."""

from __future__ import annotations

from ds_rnn.cells.recurrent_cell import RecurrentCell
from ds_rnn.functional.gru import GRU


class GRUCell(RecurrentCell):
    """Takes one step of a GRU.

    r, z = sigmoid(W_ir x + b_ir + W_hr h + b_hr), and the same of z
    n = tanh(W_in x + b_in + r (W_hn h + b_hn)),   h' = (1 - z) n + z h

    The gradients are those of :func:`ds_rnn.functional.gru.gru_step_backward`.

    Args:
        input_size: F, the features of the input.
        hidden_size: H, the width of the state.
        bias: whether b_ih and b_hh are added.
        init: how weights start; None for torch.nn's default, U(-1/sqrt(H), 1/sqrt(H)) for biases, too.
        generator: source of the initial values; None for torch's global one.

    Shape:
        x ``(N, F)``, state h ``(N, H)``, zeros if not given -> h'; or both without N. ``backward`` returns
        the gradient of x, or of x and h if a state was given.

    Raises:
        ValueError: if a shape does not fit.
        TypeError: if x or the state has another dtype than the weights, or the state is of another kind.

    Source: Cho et al., Learning Phrase Representations using RNN Encoder-Decoder (2014), section 2.3.
    """

    recurrence = GRU
