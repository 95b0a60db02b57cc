"""GRU: a recurrent network that mixes its old state with a new one."""

from __future__ import annotations

import torch
from ds_core.initializers import Init

from ds_rnn.functional.gru import GRU as RECURRENCE
from ds_rnn.layers.recurrent import Recurrent


class GRU(Recurrent):
    """Reads sequences step by step, and lets gates decide how much of its state to keep.

    r, z = sigmoid(W_ir x_t + b_ir + W_hr h_(t-1) + b_hr), and the same of z
    n = tanh(W_in x_t + b_in + r (W_hn h_(t-1) + b_hn)),   h_t = (1 - z) n + z h_(t-1)

    Backwards from the last step:   dL/dn = dL/dh_t (1 - z),   dL/dz = dL/dh_t (h_(t-1) - n),
    dL/dh_(t-1) = dL/dh_t z + (what goes through the gates) W_hh; see :func:`gru_step_backward`

    Args:
        input_size: F, the features of each step.
        hidden_size: H, the width of the state.
        num_layers: how many are stacked, each reading what the one below wrote.
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
        ValueError: if a shape does not fit, there is no step, or a length is not between 1 and L.
        TypeError: if x or the state has another dtype than the weights, or the state is of another kind.

    Source: Cho et al., Learning Phrase Representations using RNN Encoder-Decoder (2014), section 2.3.
    """

    recurrence = RECURRENCE

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
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
