"""One step of the LSTM: the forward with its backward below it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from ds_core.functional.activations import sigmoid, tanh
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
    sums = torch.addmm(gates, h_before, weights.hh.T, out=reuse(gates))  # (B, 4H)
    i, f, g, o = activated(sums)
    c = torch.addcmul(f * c_before, i, g)
    tanh_c = tanh(c)
    if weights.hr is None:
        h = torch.mul(o, tanh_c, out=out)
    else:
        h = torch.matmul(o * tanh_c, weights.hr.T, out=out)
    return (h, c), SavedLSTM((i, f, g, o), tanh_c, c_before, h_before)


def activated(sums: Tensor) -> tuple[Tensor, ...]:
    """Returns the gates i, f, g, o, ``(B, H)`` each, after their activations, from their sums ``(B, 4 H)``.

    As tanh(x) = 2 sigmoid(2x) - 1, one sigmoid of all sums, that of g doubled, serves all four.
    """
    i, f, g, o = sums.chunk(4, dim=1)
    if torch.is_grad_enabled():
        sums = torch.cat([i, f, 2 * g, o], dim=1)
    else:
        g *= 2
    i, f, g, o = sigmoid(sums, out=reuse(sums)).chunk(4, dim=1)
    g = torch.mul(g, 2, out=reuse(g))
    return i, f, torch.sub(g, 1, out=reuse(g)), o


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
    dc = (grad_c + dm_o).addcmul_(dm_o_tanh, saved.tanh_c, value=-1)
    torch.addcmul(dm_o_tanh, dm_o_tanh, o, value=-1, out=grad_o)
    dc_f, dc_i = dc * f, dc * i
    dc_f_c, dc_i_g = dc_f * saved.c_before, dc_i * g
    torch.addcmul(dc_f_c, dc_f_c, f, value=-1, out=grad_f)
    torch.addcmul(dc_i_g, dc_i_g, i, value=-1, out=grad_i)
    torch.addcmul(dc_i, dc_i_g, g, value=-1, out=grad_g)
    return grad_gates @ weights.hh, dc_f


LSTM = Recurrence(4, 2, lstm_step, lstm_step_backward)
