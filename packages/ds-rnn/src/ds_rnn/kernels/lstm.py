"""The LSTM, fast: gates in memory made once, one sigmoid for all four, each slope as a difference."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from ds_core.kernels import kernel, matmul
from ds_core.kernels.elementary import sigmoid, tanh
from torch import Tensor

from ds_rnn.functional.lstm import lstm, lstm_step
from ds_rnn.functional.recurrence import State, Weights
from ds_rnn.kernels.recurrence import Recurrence, one_step, one_step_backward, read, read_backward


class SavedStep(NamedTuple):
    """What the backward of a step needs."""

    gates: tuple[Tensor, ...]  # i, f, g, o, (B, H) each
    tanh_c: Tensor  # (B, H)
    c_before: Tensor  # (B, H)
    h_before: Tensor  # (B, P)


def step(gates: Tensor, state: State, weights: Weights, out: Tensor | None) -> tuple[State, SavedStep]:
    """Takes a step. As tanh(x) = 2 sigmoid(2x) - 1, one sigmoid of all sums, that of g doubled, will do."""
    h_before, c_before = state
    sums = matmul.addmm(gates, h_before, weights.hh.T, out=gates)  # (B, 4 H)
    i, f, g, o = sums.chunk(4, dim=1)
    g *= 2
    sigmoid(sums, out=sums)
    g.mul_(2).sub_(1)
    c = torch.addcmul(f * c_before, i, g)
    tanh_c = tanh(c)
    if weights.hr is None:
        h = torch.mul(o, tanh_c, out=out)
    else:
        h = matmul.linear(o * tanh_c, weights.hr, out=out)
    return (h, c), SavedStep((i, f, g, o), tanh_c, c_before, h_before)


def step_backward(
    grad: State, saved: SavedStep, weights: Weights, grad_gates: Tensor, grad_recurrent: Tensor
) -> State:
    """Takes the step back, with each slope written as a difference: u (1 - s) = u - u s."""
    grad_h, grad_c = grad
    i, f, g, o = saved.gates
    grad_i, grad_f, grad_g, grad_o = grad_gates.chunk(4, dim=1)
    grad_m = grad_h if weights.hr is None else matmul.mm(grad_h, weights.hr)
    dm_o = grad_m * o
    dm_o_tanh = dm_o * saved.tanh_c
    dc = (grad_c + dm_o).addcmul_(dm_o_tanh, saved.tanh_c, value=-1)
    torch.addcmul(dm_o_tanh, dm_o_tanh, o, value=-1, out=grad_o)
    dc_f, dc_i = dc * f, dc * i
    dc_f_c, dc_i_g = dc_f * saved.c_before, dc_i * g
    torch.addcmul(dc_f_c, dc_f_c, f, value=-1, out=grad_f)
    torch.addcmul(dc_i_g, dc_i_g, i, value=-1, out=grad_i)
    torch.addcmul(dc_i, dc_i_g, g, value=-1, out=grad_g)
    return matmul.mm(grad_gates, weights.hh), dc_f


LSTM = Recurrence(step, step_backward)


@kernel(lstm_step)
class LSTMStepKernel:
    """One step."""

    @staticmethod
    def forward(x: Tensor, state: State, weights: Weights) -> tuple[State, Any]:
        return one_step(LSTM, x, state, weights)

    @staticmethod
    def backward(grad: State, saved: Any, *, wanted: tuple[Any, ...] | None = None) -> Any:
        return one_step_backward(grad, saved, wanted)


@kernel(lstm)
class LSTMKernel:
    """Whole sequences, with all products that need not wait for a state out of the loop."""

    @staticmethod
    def forward(*args: Any, keep: bool = True) -> tuple[Any, Any]:
        return read(LSTM, *args, keep=keep)

    @staticmethod
    def backward(grads: Any, saved: Any, *, wanted: tuple[Any, ...] | None = None) -> Any:
        return read_backward(grads, saved, wanted)
