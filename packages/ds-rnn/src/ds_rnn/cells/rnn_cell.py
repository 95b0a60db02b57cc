"""RNNCell: one step of a plain recurrent network."""

from __future__ import annotations

from typing import Unpack, final

import torch
from ds_core import InputGrad
from ds_core.initializers import Start
from ds_core.kernels import dispatch
from torch import Tensor

from ds_rnn import functional
from ds_rnn.cells.recurrent_cell import RecurrentCell
from ds_rnn.functional.rnn import Nonlinearity
from ds_rnn.layers.checks import check_nonlinearity

rnn_step, rnn_step_backward = dispatch(functional.rnn_step, half=torch.float32, low=True)


@final
class RNNCell(RecurrentCell):
    """Takes one step of a plain recurrent network.

    h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu instead of tanh

    With a the sum inside tanh and dL/dh':   dL/da = dL/dh' (1 - h'^2),   dL/dx = dL/da W_ih,
    dL/dh = dL/da W_hh

    Args:
        input_size: F, the features of the input.
        hidden_size: H, the width of the state.
        bias: whether b_ih and b_hh are added.
        nonlinearity: "tanh" or "relu".
        device: of the parameters.
        dtype: of the parameters.
        options: ``init`` and ``generator``, see :class:`ds_core.initializers.Start`; without ``init`` weights
            and biases start as torch.nn's, U(-1/sqrt(H), 1/sqrt(H)).

    Shape:
        input ``(N, F)``, hx h ``(N, H)``, zeros if not given -> h'; or both without N. ``backward`` returns
        the gradient of input, or of input and hx if that was given.

    Raises:
        ValueError: if a shape does not fit, or the nonlinearity is another word.
        TypeError: if input or hx has another dtype than the weights, or hx is of another kind.

    Source: Elman, Finding Structure in Time (1990).
    """

    gates, states = 1, 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: Nonlinearity = "tanh",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Unpack[Start],
    ) -> None:
        check_nonlinearity(type(self).__name__, nonlinearity)
        self.nonlinearity: Nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, bias, device, dtype, **options)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        x, state = self.checked(input, hx)  # (N, F), (N, H)
        state, saved = rnn_step(x, state, self.weights(), self.nonlinearity)
        self.save(saved, len(x), input.dim() == 2, hx is not None)
        return self.as_given(state, input.dim() == 2)

    def backward(self, grad_h: Tensor) -> InputGrad:
        saved, size, batched, given = self.saved()
        grads = self.gradients((grad_h,), size)
        grad_x, grad_state, grad_weights = rnn_step_backward(grads, saved, wanted=self.wanted(given))
        self.add_grads(grad_weights)
        grad_x = grad_x if grad_x is None or batched else grad_x[0]
        return (grad_x, self.as_given(grad_state, batched)) if given else grad_x
