"""LSTM: a recurrent network whose memory is only added to, so that gradients survive."""

from __future__ import annotations

from typing import final

import torch
from ds_core import InputGrad
from ds_core.kernels import dispatch
from torch import Tensor

from ds_rnn import functional
from ds_rnn.layers.recurrent import AnyState, Recurrent

lstm, lstm_backward = dispatch(functional.lstm, half=torch.float32, low=True)


@final
class LSTM(Recurrent):
    """Reads sequences step by step with a gated memory c.

    i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of W_ih x_t + b_ih + W_hh h_(t-1) + b_hh
    c_t = f c_(t-1) + i g,   h_t = W_hr (o tanh(c_t)), or o tanh(c_t) without a projection

    With dc_t = dL/dc_t + dL/dh_t o (1 - tanh(c_t)^2), from the last step backwards:   dL/dc_(t-1) = dc_t f

    Args:
        input_size: F, the features of each step.
        hidden_size: H, the width of the memory.
        num_layers: how many are stacked, each reading what the one below wrote.
        bias: whether b_ih and b_hh are added.
        batch_first: whether sequences are laid out as ``(N, L, F)``.
        dropout: the share of numbers dropped between two layers in training.
        bidirectional: whether a second network reads from the end, and the outputs are put side by side.
        proj_size: P, the width h is projected to; 0 for no projection.
        device: of the parameters.
        dtype: of the parameters.
        init: of the weights; None for torch.nn's default, U(-1/sqrt(H), 1/sqrt(H)), for biases, too.
        generator: source of the initial values and of dropout; None for torch's global one.

    Shape:
        input ``(L, N, F)``, ``(N, L, F)`` if batch_first, ``(L, F)`` without a batch; hx (h, c) of the shapes
        ``(layers directions, N, P or H)`` and ``(layers directions, N, H)``, zeros if not given; lengths
        ``(N,)``, how many steps of each sequence are not padding -> output ``(L, N, directions (P or H))``,
        zero beyond a sequence's end, and the last state (h, c). ``backward`` returns the gradient of input,
        or of input and hx if that was given.

    Raises:
        ValueError: if a shape does not fit, there is no step, or a length is not between 1 and L.
        TypeError: if input or hx has another dtype than the weights, or hx is of another kind.

    Source: Hochreiter and Schmidhuber, Long Short-Term Memory (1997); Gers et al., Learning to Forget (2000).
    """

    gates, states = 4, 2

    def forward(
        self, input: Tensor, hx: AnyState = None, lengths: Tensor | list[int] | None = None
    ) -> tuple[Tensor, AnyState]:
        x, state, lengths = self.checked(input, hx, lengths)  # (L, N, F)
        (output, state), saved = lstm(x, state, self.weights(), lengths, self.masks(x), keep=self.recording)
        self.save(saved, output.shape, input.dim() == 3, hx is not None)
        return self.as_given(output, state, input.dim() == 3)

    def backward(self, grad: Tensor | None, grad_state: AnyState = None) -> InputGrad:
        saved, size, batched, given = self.saved()
        grads = self.gradients(grad, grad_state, size)
        grad_x, grad_start, grad_weights = lstm_backward(grads, saved, wanted=self.wanted(given))
        self.add_grads(grad_weights)
        grad_x, grad_start = self.as_given(grad_x, grad_start, batched)
        return (grad_x, grad_start) if given else grad_x
