"""LSTM: a recurrent network whose memory is only added to, so that gradients survive."""

from __future__ import annotations

from ds_rnn.functional.lstm import LSTM as RECURRENCE
from ds_rnn.layers.recurrent import Recurrent


class LSTM(Recurrent):
    """Reads sequences step by step with a gated memory c.

    i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of W_ih x_t + b_ih + W_hh h_(t-1) + b_hh
    c_t = f c_(t-1) + i g,   h_t = W_hr (o tanh(c_t)), or o tanh(c_t) without a projection

    Backwards from the last step, with dc_t = dL/dc_t + dL/dh_t o (1 - tanh(c_t)^2):   dL/dc_(t-1) = dc_t f,
    dL/dh_(t-1) = (dL/da_t) W_hh with a_t the sums before the four functions; see :func:`lstm_step_backward`

    Args:
        input_size: F, the features of each step.
        hidden_size: H, the width of the memory.
        num_layers: how many are stacked, each reading what the one below wrote.
        bias: whether b_ih and b_hh are added.
        batch_first: whether sequences are laid out as ``(N, L, F)``.
        dropout: the share of numbers dropped between two layers in training.
        bidirectional: whether a second network reads from the end, and the outputs are put side by side.
        proj_size: P, the width h is projected to; 0 for no projection.
        init: how weights start; None for torch.nn's default, U(-1/sqrt(H), 1/sqrt(H)) for biases, too.
        generator: source of the initial values and of dropout; None for torch's global one.

    Shape:
        x ``(L, N, F)``, ``(N, L, F)`` if batch_first, ``(L, F)`` without a batch; state (h, c) of the shapes
        ``(layers directions, N, P or H)`` and ``(layers directions, N, H)``, zeros if not given; lengths
        ``(N,)``, how many steps of each sequence are no padding -> output ``(L, N, directions (P or H))``,
        zero beyond a sequence's end, and the last state (h, c). ``backward`` returns the gradient of x, or of
        x and (h, c) if a state was given.

    Raises:
        ValueError: if a shape does not fit, there is no step, or a length is not between 1 and L.
        TypeError: if x or the state has another dtype than the weights, or the state is of another kind.

    Source: Hochreiter and Schmidhuber, Long Short-Term Memory (1997); Gers et al., Learning to Forget (2000).
    """

    recurrence = RECURRENCE
