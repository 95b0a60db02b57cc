"""GRU: a recurrent network that mixes its old state with a new one."""

from __future__ import annotations

from typing import Unpack, final

import torch
from ds_core import InputGrad
from ds_core.initializers import Start
from ds_core.kernels import dispatch
from torch import Tensor

from ds_rnn import functional
from ds_rnn.layers.recurrent import AnyState, Recurrent

gru, gru_backward = dispatch(functional.gru, half=torch.float32, low=True)


@final
class GRU(Recurrent):
    """Reads sequences step by step, and lets gates decide how much of its state to keep.

    r, z = sigmoid(W_ir x_t + b_ir + W_hr h_(t-1) + b_hr), and the same of z
    n = tanh(W_in x_t + b_in + r (W_hn h_(t-1) + b_hn)),   h_t = (1 - z) n + z h_(t-1)

    With dL/dh_t, from the last step backwards:   dL/dn = dL/dh_t (1 - z),   dL/dz = dL/dh_t (h_(t-1) - n),
    dL/dh_(t-1) = dL/dh_t z + (what goes through the gates) W_hh

    Args:
        input_size: F, the features of each step.
        hidden_size: H, the width of the state.
        num_layers: how many are stacked, each reading what the one below wrote.
        bias: whether b_ih and b_hh are added.
        batch_first: whether sequences are laid out as ``(N, L, F)``.
        dropout: the share of numbers dropped between two layers in training.
        bidirectional: whether a second network reads from the end, and the outputs are put side by side.
        device: of the parameters.
        dtype: of the parameters.
        options: ``init`` and ``generator``, see :class:`ds_core.initializers.Start`; without ``init`` weights
            and biases start as torch.nn's, U(-1/sqrt(H), 1/sqrt(H)).

    Shape:
        input ``(L, N, F)``, ``(N, L, F)`` if batch_first, ``(L, F)`` without a batch; hx h ``(layers
        directions, N, H)``, zeros if not given; lengths ``(N,)``, how many steps of each sequence are not
        padding -> output ``(L, N, directions H)``, zero beyond a sequence's end, and the last state.
        ``backward`` returns the gradient of input, or of input and hx if that was given.

    Raises:
        ValueError: if a shape does not fit, there is no step, or a length is not between 1 and L.
        TypeError: if input or hx has another dtype than the weights, or hx is of another kind.

    Source: Cho et al., Learning Phrase Representations using RNN Encoder-Decoder (2014), section 2.3.
    """

    gates, states = 3, 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Unpack[Start],
    ) -> None:
        super().__init__(
            *(
                input_size,
                hidden_size,
                num_layers,
                bias,
                batch_first,
                dropout,
                bidirectional,
                0,
                device,
                dtype,
            ),
            **options,
        )

    def forward(
        self, input: Tensor, hx: AnyState = None, lengths: Tensor | list[int] | None = None
    ) -> tuple[Tensor, AnyState]:
        x, state, lengths = self.checked(input, hx, lengths)  # (L, N, F)
        (output, state), saved = gru(x, state, self.weights(), lengths, self.masks(x), keep=self.recording)
        self.save(saved, output.shape, input.dim() == 3, hx is not None)
        return self.as_given(output, state, input.dim() == 3)

    def backward(self, grad: Tensor | None, grad_state: AnyState = None) -> InputGrad:
        saved, size, batched, given = self.saved()
        grads = self.gradients(grad, grad_state, size)
        grad_x, grad_start, grad_weights = gru_backward(grads, saved, wanted=self.wanted(given))
        self.add_grads(grad_weights)
        grad_x, grad_start = self.as_given(grad_x, grad_start, batched)
        return (grad_x, grad_start) if given else grad_x
