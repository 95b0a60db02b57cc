"""RNN: the plain recurrent network."""

from __future__ import annotations

from typing import Unpack, final

import torch
from ds_core import InputGrad
from ds_core.initializers import Start
from ds_core.kernels import dispatch
from torch import Tensor

from ds_rnn import functional
from ds_rnn.functional.rnn import Nonlinearity
from ds_rnn.layers.checks import check_nonlinearity
from ds_rnn.layers.recurrent import AnyState, Recurrent

rnn, rnn_backward = dispatch(functional.rnn, half=torch.float32, low=True)


@final
class RNN(Recurrent):
    """Reads sequences step by step, and mixes each input into its state.

    h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh), or relu instead of tanh

    With a_t the sum inside tanh and dL/dh_t, from the last step backwards:   dL/da_t = dL/dh_t (1 - h_t^2),
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
        ValueError: if a shape does not fit, there is no step, a length is not between 1 and L, or the
            nonlinearity is another word.
        TypeError: if input or hx has another dtype than the weights, or hx is of another kind.

    Source: Elman, Finding Structure in Time (1990); Werbos, Backpropagation Through Time (1990).
    """

    gates, states = 1, 1

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
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Unpack[Start],
    ) -> None:
        check_nonlinearity(type(self).__name__, nonlinearity)
        self.nonlinearity: Nonlinearity = nonlinearity
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
        masks, keep = self.masks(x), self.recording
        (output, state), saved = rnn(x, state, self.weights(), lengths, masks, self.nonlinearity, keep=keep)
        self.save(saved, output.shape, input.dim() == 3, hx is not None)
        return self.as_given(output, state, input.dim() == 3)

    def backward(self, grad: Tensor | None, grad_state: AnyState = None) -> InputGrad:
        saved, size, batched, given = self.saved()
        grads = self.gradients(grad, grad_state, size)
        grad_x, grad_start, grad_weights = rnn_backward(grads, saved, wanted=self.wanted(given))
        self.add_grads(grad_weights)
        grad_x, grad_start = self.as_given(grad_x, grad_start, batched)
        return (grad_x, grad_start) if given else grad_x
