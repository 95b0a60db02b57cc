"""LSTMCell: one step of an LSTM."""

from __future__ import annotations

from typing import Any, final

import torch
from ds_core import InputGrad
from ds_core.kernels import dispatch
from torch import Tensor

from ds_rnn import functional
from ds_rnn.cells.recurrent_cell import RecurrentCell

lstm_step, lstm_step_backward = dispatch(functional.lstm_step, half=torch.float32, low=True)


@final
class LSTMCell(RecurrentCell):
    """Takes one step of an LSTM.

    i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of W_ih x + b_ih + W_hh h + b_hh
    c' = f c + i g,   h' = o tanh(c')

    Args:
        input_size: F, the features of the input.
        hidden_size: H, the width of the memory.
        bias: whether b_ih and b_hh are added.
        device: of the parameters.
        dtype: of the parameters.
        init: of the weights; None for torch.nn's default, U(-1/sqrt(H), 1/sqrt(H)), for biases, too.
        generator: source of the initial values; None for torch's global one.

    Shape:
        input ``(N, F)``, hx (h, c) ``(N, H)`` each, zeros if not given -> (h', c'); or all without N.
        ``backward(grad_h, grad_c)``, either None for zeros, returns the gradient of input, or of
        input and hx if that was given.

    Raises:
        ValueError: if a shape does not fit.
        TypeError: if input or hx has another dtype than the weights, or hx is of another kind.

    Source: Hochreiter and Schmidhuber, Long Short-Term Memory (1997); Gers et al., Learning to Forget (2000).
    """

    gates, states = 4, 2

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> Any:
        x, state = self.checked(input, hx)  # (N, F), (N, H)
        state, saved = lstm_step(x, state, self.weights())
        self.save(saved, len(x), input.dim() == 2, hx is not None)
        return self.as_given(state, input.dim() == 2)

    def backward(self, grad_h: Tensor | None, grad_c: Tensor | None = None) -> InputGrad:
        saved, size, batched, given = self.saved()
        grads = self.gradients((grad_h, grad_c), size)
        grad_x, grad_state, grad_weights = lstm_step_backward(grads, saved, wanted=self.wanted(given))
        self.add_grads(grad_weights)
        grad_x = grad_x if grad_x is None or batched else grad_x[0]
        return (grad_x, self.as_given(grad_state, batched)) if given else grad_x
