"""The plain recurrent network: one step, and whole sequences of them."""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple

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
)

Nonlinearity = Literal["tanh", "relu"]


class SavedStep(NamedTuple):
    """What the backward of a step needs."""

    x: Tensor  # (B, F)
    h: Tensor  # (B, H)
    h_after: Tensor  # (B, H)
    weights: Weights
    nonlinearity: Nonlinearity


def rnn_step(
    x: Tensor, state: State, weights: Weights, nonlinearity: Nonlinearity = "tanh"
) -> tuple[State, SavedStep]:
    """Takes one step: h' = tanh(a) or max(a, 0),   a = W_ih x + b_ih + W_hh h + b_hh.

    Shape:
        x ``(B, F)``, h ``(B, H)``.

    Source: Elman, Finding Structure in Time (1990).
    """
    (h,) = state
    a = affine(x, weights.ih, weights.bias_ih) + affine(h, weights.hh, weights.bias_hh)  # (B, H)
    h_after = torch.tanh(a) if nonlinearity == "tanh" else torch.where(a <= 0, 0, a)
    return (h_after,), SavedStep(x, h, h_after, weights, nonlinearity)


def rnn_step_backward(grad: State, saved: SavedStep) -> tuple[Tensor, State, Weights]:
    """Takes the step back: dL/da = dL/dh' (1 - h'^2), or dL/dh' where h' > 0."""
    x, h, h_after, weights, nonlinearity = saved
    (grad_h,) = grad
    if nonlinearity == "tanh":
        grad_a = grad_h * (1 - h_after**2)  # h' = tanh(a)
    else:
        grad_a = torch.where(h_after <= 0, 0, grad_h)  # h' = max(a, 0)
    grad_bias = None if weights.bias_ih is None else grad_a.sum(0)  # a = W_ih x + b_ih + W_hh h + b_hh
    grad_weights = Weights(grad_a.T @ x, grad_a.T @ h, grad_bias, grad_bias)  # the same line
    return grad_a @ weights.ih, (grad_a @ weights.hh,), grad_weights


def rnn(
    x: Tensor,
    state: State,
    weights: AllWeights,
    lengths: Tensor | None = None,
    masks: Masks = (),
    nonlinearity: Nonlinearity = "tanh",
) -> tuple[Read, Saved]:
    """Takes :func:`rnn_step` along sequences; see :func:`ds_rnn.functional.recurrence.recurrence`."""
    return recurrence(partial(rnn_step, nonlinearity=nonlinearity), x, state, weights, lengths, masks)


def rnn_backward(grads: Read, saved: Saved) -> tuple[Tensor, State, AllWeights]:
    """Backpropagation through time; see :func:`ds_rnn.functional.recurrence.recurrence_backward`."""
    return recurrence_backward(rnn_step_backward, grads, saved)
