"""GRU: one step, and whole sequences of them."""

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
    h: Tensor  # (B, H)
    gates: tuple[Tensor, ...]  # r, z, n, (B, H) each
    m_n: Tensor  # (B, H), what r gates
    weights: Weights


def gru_step(x: Tensor, state: State, weights: Weights) -> tuple[State, SavedStep]:
    """Takes one step.

    With a = W_ih x + b_ih, what the input says, and m = W_hh h + b_hh, what the state says:
    r, z = sigmoid(a_r + m_r), sigmoid(a_z + m_z),   n = tanh(a_n + r m_n),   h' = (1 - z) n + z h

    Shape:
        x ``(B, F)``, h ``(B, H)``.

    Source: Cho et al., Learning Phrase Representations using RNN Encoder-Decoder (2014), section 2.3; r gates
    m_n and not h, as in version 1 of that paper and in torch.nn.
    """
    (h,) = state
    a_r, a_z, a_n = affine(x, weights.ih, weights.bias_ih).chunk(3, dim=1)
    m_r, m_z, m_n = affine(h, weights.hh, weights.bias_hh).chunk(3, dim=1)
    r, z = sigmoid(a_r + m_r), sigmoid(a_z + m_z)
    n = torch.tanh(a_n + r * m_n)
    h_after = (1 - z) * n + z * h
    return (h_after,), SavedStep(x, h, (r, z, n), m_n, weights)


def gru_step_backward(grad: State, saved: SavedStep) -> tuple[Tensor, State, Weights]:
    """Takes the step back, from (dL/dh',) to the gradients of x, (h,) and the weights."""
    x, h, (r, z, n), m_n, weights = saved
    (grad_h,) = grad
    grad_n, grad_z = grad_h * (1 - z), grad_h * (h - n)  # h' = (1 - z) n + z h
    grad_a_n = grad_n * (1 - n**2)  # n = tanh(a_n + r m_n)
    grad_r, grad_m_n = grad_a_n * m_n, grad_a_n * r  # n = tanh(a_n + r m_n)
    grad_a_r, grad_a_z = grad_r * r * (1 - r), grad_z * z * (1 - z)  # r, z = sigmoid(a + m)
    grad_a = torch.cat([grad_a_r, grad_a_z, grad_a_n], dim=1)
    grad_m = torch.cat([grad_a_r, grad_a_z, grad_m_n], dim=1)
    biases = (None, None) if weights.bias_ih is None else (grad_a.sum(0), grad_m.sum(0))
    grad_weights = Weights(grad_a.T @ x, grad_m.T @ h, *biases)  # a = W_ih x + b_ih, m = W_hh h + b_hh
    return grad_a @ weights.ih, (grad_h * z + grad_m @ weights.hh,), grad_weights


def gru(
    x: Tensor, state: State, weights: AllWeights, lengths: Tensor | None = None, masks: Masks = ()
) -> tuple[Read, Saved]:
    """Takes :func:`gru_step` along sequences; see :func:`ds_rnn.functional.recurrence.recurrence`."""
    return recurrence(gru_step, x, state, weights, lengths, masks)


def gru_backward(grads: Read, saved: Saved) -> tuple[Tensor, State, AllWeights]:
    """Backpropagation through time; see :func:`ds_rnn.functional.recurrence.recurrence_backward`."""
    return recurrence_backward(gru_step_backward, grads, saved)
