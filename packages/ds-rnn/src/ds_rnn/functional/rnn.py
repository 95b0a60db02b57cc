"""One step of the plain recurrent network: the forward with its backward below it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from ds_core.functional.activations import relu, relu_backward, tanh, tanh_backward
from ds_core.functional.elementary import reuse
from torch import Tensor

from ds_rnn.functional.recurrence import LoopWeights, Recurrence, State


class SavedRNN(NamedTuple):
    """What the backward of a step needs from its forward."""

    h: Tensor  # (B, H), the new state
    h_before: Tensor  # (B, H)


def rnn_tanh_step(
    gates: Tensor, state: State, weights: LoopWeights, out: Tensor | None = None
) -> tuple[State, SavedRNN]:
    """Takes one step of the recurrence with tanh.

    h' = tanh(a + W_hh h)

    Args:
        gates: a, what the input says, biases included, ``(B, H)``; written over.
        state: (h,), ``(B, H)``.
        weights: W_hh ``(H, H)``.
        out: takes h', if given.

    Returns:
        The new state, and what the backward needs.

    Source: Elman, Finding Structure in Time (1990).
    """
    (h_before,) = state
    sums = torch.addmm(gates, h_before, weights.hh.T, out=reuse(gates))
    h = tanh(sums, out=out)
    return (h,), SavedRNN(h, h_before)


def rnn_relu_step(
    gates: Tensor, state: State, weights: LoopWeights, out: Tensor | None = None
) -> tuple[State, SavedRNN]:
    """Takes one step of the recurrence with relu: h' = max(a + W_hh h, 0); see :func:`rnn_tanh_step`."""
    (h_before,) = state
    h = relu(torch.addmm(gates, h_before, weights.hh.T, out=reuse(gates)))
    if out is not None:
        h = out.copy_(h)
    return (h,), SavedRNN(h, h_before)


def rnn_tanh_step_backward(
    grad: State, saved: SavedRNN, weights: LoopWeights, grad_gates: Tensor, grad_recurrent: Tensor
) -> State:
    """Takes the step back.

    dL/da = dL/dh' (1 - h'^2),   dL/dh = dL/da W_hh

    Args:
        grad: (dL/dh',), ``(B, H)``.
        saved: from the forward.
        weights: as in the forward.
        grad_gates: takes dL/da, ``(B, H)``.
        grad_recurrent: the same tensor.

    Returns:
        (dL/dh,), the gradient of the state before.
    """
    grad_gates.copy_(tanh_backward(grad[0], saved.h))
    return (grad_gates @ weights.hh,)


def rnn_relu_step_backward(
    grad: State, saved: SavedRNN, weights: LoopWeights, grad_gates: Tensor, grad_recurrent: Tensor
) -> State:
    """Takes the step back: dL/da = dL/dh' where h' > 0; see :func:`rnn_tanh_step_backward`."""
    grad_gates.copy_(relu_backward(grad[0], saved.h))
    return (grad_gates @ weights.hh,)


RECURRENCES = {
    "tanh": Recurrence(1, 1, rnn_tanh_step, rnn_tanh_step_backward),
    "relu": Recurrence(1, 1, rnn_relu_step, rnn_relu_step_backward),
}


def recurrence_of(layer: str, nonlinearity: str) -> Recurrence:
    """Returns the recurrence with a nonlinearity.

    Raises:
        ValueError: if it is neither "tanh" nor "relu"; names the layer.
    """
    if nonlinearity not in RECURRENCES:
        raise ValueError(f"{layer}: expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}")
    return RECURRENCES[nonlinearity]
