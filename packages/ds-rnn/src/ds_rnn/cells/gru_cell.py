"""GRUCell: one step of a GRU."""

from __future__ import annotations

from typing import final

import torch
from ds_core import InputGrad
from ds_core.kernels import dispatch
from torch import Tensor

from ds_rnn import functional
from ds_rnn.cells.recurrent_cell import RecurrentCell

gru_step, gru_step_backward = dispatch(functional.gru_step, half=torch.float32, low=True)


@final
class GRUCell(RecurrentCell):
    """Takes one step of a GRU.

    r, z = sigmoid(W_ir x + b_ir + W_hr h + b_hr), and the same of z
    n = tanh(W_in x + b_in + r (W_hn h + b_hn)),   h' = (1 - z) n + z h

    Args:
        input_size: F, the features of the input.
        hidden_size: H, the width of the state.
        bias: whether b_ih and b_hh are added.
        device: of the parameters.
        dtype: of the parameters.
        init: of the weights; None for torch.nn's default, U(-1/sqrt(H), 1/sqrt(H)), for biases, too.
        generator: source of the initial values; None for torch's global one.

    Shape:
        input ``(N, F)``, hx h ``(N, H)``, zeros if not given -> h'; or both without N. ``backward`` returns
        the gradient of input, or of input and hx if that was given.

    Raises:
        ValueError: if a shape does not fit.
        TypeError: if input or hx has another dtype than the weights, or hx is of another kind.

    Source: Cho et al., Learning Phrase Representations using RNN Encoder-Decoder (2014), section 2.3.
    """

    gates, states = 3, 1

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        x, state = self.checked(input, hx)  # (N, F), (N, H)
        state, saved = gru_step(x, state, self.weights())
        self.save(saved, len(x), input.dim() == 2, hx is not None)
        return self.as_given(state, input.dim() == 2)

    def backward(self, grad_h: Tensor) -> InputGrad:
        saved, size, batched, given = self.saved()
        grads = self.gradients((grad_h,), size)
        grad_x, grad_state, grad_weights = gru_step_backward(grads, saved, wanted=self.wanted(given))
        self.add_grads(grad_weights)
        grad_x = grad_x if grad_x is None or batched else grad_x[0]
        return (grad_x, self.as_given(grad_state, batched)) if given else grad_x
