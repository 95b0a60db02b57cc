"""Unrolled: a cell called once for each step, the plain form of RNN, GRU and LSTM."""

from __future__ import annotations

from typing import Any

import torch
from ds_core import InputGrad, Module
from ds_core.checks import shape
from torch import Tensor

from ds_rnn.cells.recurrent_cell import RecurrentCell


class Unrolled(Module):
    """Runs a cell over sequences, one step after the other: recurrence in its plainest form.

    state_t = cell(x_t, state_(t-1)),   and backwards   dL/dx_t, dL/dstate_(t-1) = cell.backward(dL/dstate_t)

    It gives the numbers of :class:`RNN`, :class:`GRU` and :class:`LSTM` with one layer, only slower: they
    take the inputs' matrix product out of the loop. Read this one to see backpropagation through time, use
    those.

    Args:
        cell: an RNNCell, GRUCell or LSTMCell, which is used at every step.

    Shape:
        input ``(L, N, F)``, hx as of the cell -> h after each step ``(L, N, H)``, and the last state.
        ``backward(grad_output, grad_state)`` returns the gradient of input, or of input and hx if that was
        given.

    Raises:
        ValueError: if input has not three dimensions or no step.

    Source: Werbos, Backpropagation Through Time: What It Does and How to Do It (1990).
    """

    def __init__(self, cell: RecurrentCell) -> None:
        self.cell = cell

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Any]:
        if input.dim() != 3 or len(input) == 0:
            raise ValueError(
                f"{self.label()}: expected (L, N, {self.cell.input_size}) with at least one step, "
                f"got {shape(input)}"
            )
        self.save(len(input), hx is not None)
        outputs, state = [], hx
        for x_t in input:
            state = self.cell(x_t, state)
            outputs.append(hidden(state))
        return torch.stack(outputs), state

    def backward(self, grad: Tensor, grad_state: Any = None) -> InputGrad:
        steps, given = self.saved()
        if grad_state is None:
            zeros = tuple(torch.zeros_like(grad[0]) for _ in range(self.cell.states))
            grad_state = zeros if len(zeros) > 1 else zeros[0]
        grads = []
        for t in reversed(range(steps)):
            h, *others = grad_state if isinstance(grad_state, tuple) else (grad_state,)
            back = self.cell.backward(grad[t] + h, *others)
            if t > 0 or given:
                back, grad_state = back
            grads.append(back)
        grad_x = torch.stack(grads[::-1]) if self.cell.input_grad else None
        return (grad_x, grad_state) if given else grad_x

    def requires_input_grad_(self, requires_input_grad: bool = True) -> Unrolled:
        """Sets it for the cell, too."""
        self.input_grad = requires_input_grad
        self.cell.requires_input_grad_(requires_input_grad)
        return self


def hidden(state: Any) -> Tensor:
    """Returns h of a state."""
    h: Tensor = state[0] if isinstance(state, tuple) else state
    return h
