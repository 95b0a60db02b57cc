"""One step of the LSTM: the forward with its backward below it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from ds_core.functional.activations import sigmoid
from ds_core.functional.elementary import reuse
from torch import Tensor

from ds_rnn.functional.recurrence import LoopWeights, Recurrence, State


class SavedLSTM(NamedTuple):
    """What the backward of a step needs from its forward."""

    gates: tuple[Tensor, ...]  # i, f, g, o after their activations, (B, H) each
    tanh_c: Tensor  # (B, H)
    c_before: Tensor  # (B, H)
    h_before: Tensor  # (B, H), or (B, P) with a projection


def lstm_step(
    gates: Tensor, state: State, weights: LoopWeights, out: Tensor | None = None
) -> tuple[State, SavedLSTM]:
    """Takes one step of the recurrence.

    i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of a + W_hh h
    c' = f c + i g,   h' = W_hr (o tanh(c')), or without W_hr if there is no projection

    Args:
        gates: a, what the input says, biases included, ``(B, 4 H)``; written over.
        state: (h, c), ``(B, H)`` each; h is ``(B, P)`` with a projection.
        weights: W_hh ``(4 H, H)`` or ``(4 H, P)``, W_hr ``(P, H)`` or None.
        out: takes h', if given.

    Returns:
        The new state, and what the backward needs.

    Source: Hochreiter and Schmidhuber, Long Short-Term Memory (1997), with the forget gate of Gers et al.
    (2000); for the projection Sak et al., Long Short-Term Memory Based Recurrent Neural Network
    Architectures (2014).
    """
    h_before, c_before = state
    size = c_before.shape[1]
    sums = torch.addmm(gates, h_before, weights.hh.T, out=reuse(gates))  # (B, 4H)
    # i and f lie side by side: one pass for both.
    i_f, g, o = sums.split([2 * size, size, size], dim=1)
    i_f = sigmoid(i_f, out=reuse(i_f))
    g, o = torch.tanh(g, out=reuse(g)), sigmoid(o, out=reuse(o))
    i, f = i_f.split(size, dim=1)
    c = f * c_before + i * g
    tanh_c = torch.tanh(c)
    h = o * tanh_c if weights.hr is None else (o * tanh_c) @ weights.hr.T
    if out is not None:
        h = out.copy_(h)
    return (h, c), SavedLSTM((i, f, g, o), tanh_c, c_before, h_before)


def lstm_step_backward(
    grad: State, saved: SavedLSTM, weights: LoopWeights, grad_gates: Tensor, grad_recurrent: Tensor
) -> State:
    """Takes the step back.

    With m = o tanh(c'), dL/dm = dL/dh' (times W_hr with a projection), and the whole gradient of the memory
    dc = dL/dc' + dL/dm o (1 - tanh(c')^2):
    dL/do = dL/dm tanh(c'),   dL/df = dc c,   dL/di = dc g,   dL/dg = dc i,   dL/dc = dc f
    dL/da is each of the first four times s (1 - s) for a sigmoid s, or 1 - g^2 for the tanh
    dL/dh = dL/da W_hh

    Args:
        grad: (dL/dh', dL/dc').
        saved: from the forward.
        weights: as in the forward.
        grad_gates: takes dL/da, ``(B, 4 H)``.
        grad_recurrent: the same tensor.

    Returns:
        (dL/dh, dL/dc), the gradients of the state before.
    """
    grad_h, grad_c = grad
    i, f, g, o = saved.gates
    grad_i, grad_f, grad_g, grad_o = grad_gates.chunk(4, dim=1)
    grad_m = grad_h if weights.hr is None else grad_h @ weights.hr
    dm_o = grad_m * o
    # Each slope is written as a difference: u (1 - s) = u - u s.
    dm_o_tanh = dm_o * saved.tanh_c
    dc = grad_c + dm_o - dm_o_tanh * saved.tanh_c
    torch.sub(dm_o_tanh, dm_o_tanh * o, out=grad_o)
    dc_f, dc_i = dc * f, dc * i
    dc_f_c, dc_i_g = dc_f * saved.c_before, dc_i * g
    torch.sub(dc_f_c, dc_f_c * f, out=grad_f)
    torch.sub(dc_i_g, dc_i_g * i, out=grad_i)
    torch.sub(dc_i, dc_i_g * g, out=grad_g)
    return grad_gates @ weights.hh, dc_f


LSTM = Recurrence(4, 2, lstm_step, lstm_step_backward)
