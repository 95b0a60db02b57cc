"""LSTM: one step, and whole sequences of them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ds_rnn.functional.recurrence import (
    AllWeights,
    Masks,
    Read,
    Saved,
    State,
    Weights,
    affine,
    recurrence,
    recurrence_backward,
    sigmoid,
)


class SavedStep(NamedTuple):
    """What the backward of a step needs."""

    x: Tensor  # (B, F)
    state: State  # (h, c)
    gates: tuple[Tensor, ...]  # i, f, g, o, (B, H) each
    tanh_c: Tensor  # (B, H)
    weights: Weights


def lstm_step(x: Tensor, state: State, weights: Weights) -> tuple[State, SavedStep]:
    """Takes one step.

    i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of W_ih x + b_ih + W_hh h + b_hh
    c' = f c + i g,   m = o tanh(c'),   h' = W_hr m, or m without a projection

    Shape:
        x ``(B, F)``, h ``(B, P)``, c ``(B, H)``, P = H without a projection.

    Source: Hochreiter and Schmidhuber, Long Short-Term Memory (1997); Gers et al., Learning to Forget (2000);
    for the projection Sak et al., Long Short-Term Memory Based Recurrent Neural Network Architectures (2014).
    """
    h, c = state
    a = affine(x, weights.ih, weights.bias_ih) + affine(h, weights.hh, weights.bias_hh)  # (B, 4 H)
    i, f, g, o = a.chunk(4, dim=1)
    i, f, g, o = sigmoid(i), sigmoid(f), torch.tanh(g), sigmoid(o)
    c_after = f * c + i * g
    tanh_c = torch.tanh(c_after)
    m = o * tanh_c
    h_after = m if weights.hr is None else m @ weights.hr.T
    return (h_after, c_after), SavedStep(x, state, (i, f, g, o), tanh_c, weights)


def lstm_step_backward(grad: State, saved: SavedStep) -> tuple[Tensor, State, Weights]:
    """Takes the step back, from (dL/dh', dL/dc') to the gradients of x, (h, c) and the weights."""
    x, (h, c), (i, f, g, o), tanh_c, weights = saved
    grad_h, grad_c = grad
    grad_hr = None if weights.hr is None else grad_h.T @ (o * tanh_c)  # h' = W_hr m
    grad_m = grad_h if weights.hr is None else grad_h @ weights.hr  # h' = W_hr m
    grad_o = grad_m * tanh_c  # m = o tanh(c')
    grad_c = grad_c + grad_m * o * (1 - tanh_c**2)  # m = o tanh(c')
    grad_f, grad_i, grad_g = grad_c * c, grad_c * g, grad_c * i  # c' = f c + i g
    grad_a = torch.cat(  # i, f, g, o = sigmoid, sigmoid, tanh, sigmoid of a
        [grad_i * i * (1 - i), grad_f * f * (1 - f), grad_g * (1 - g**2), grad_o * o * (1 - o)], dim=1
    )
    grad_bias = None if weights.bias_ih is None else grad_a.sum(0)  # a = W_ih x + b_ih + W_hh h + b_hh
    grad_weights = Weights(grad_a.T @ x, grad_a.T @ h, grad_bias, grad_bias, grad_hr)  # the same line
    return grad_a @ weights.ih, (grad_a @ weights.hh, grad_c * f), grad_weights


def lstm(
    x: Tensor, state: State, weights: AllWeights, lengths: Tensor | None = None, masks: Masks = ()
) -> tuple[Read, Saved]:
    """Takes :func:`lstm_step` along sequences; see :func:`ds_rnn.functional.recurrence.recurrence`."""
    return recurrence(lstm_step, x, state, weights, lengths, masks)


def lstm_backward(grads: Read, saved: Saved) -> tuple[Tensor, State, AllWeights]:
    """Backpropagation through time; see :func:`ds_rnn.functional.recurrence.recurrence_backward`."""
    return recurrence_backward(lstm_step_backward, grads, saved)
