"""The plain recurrent network, fast: the sums of all steps in memory made once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from ds_core.kernels import kernel, matmul
from ds_core.kernels.elementary import tanh
from torch import Tensor

from ds_rnn.functional.recurrence import AllWeights, State, Weights
from ds_rnn.functional.rnn import Nonlinearity, rnn, rnn_step
from ds_rnn.kernels.recurrence import Recurrence, one_step, one_step_backward, read, read_backward


class SavedStep(NamedTuple):
    """What the backward of a step needs."""

    h: Tensor  # (B, H), the new state
    h_before: Tensor  # (B, H)


def tanh_step(gates: Tensor, state: State, weights: Weights, out: Tensor | None) -> tuple[State, SavedStep]:
    """H' = tanh(a)."""
    sums = matmul.addmm(gates, state[0], weights.hh.T, out=gates)
    h = tanh(sums, out=sums if out is None else out)
    return (h,), SavedStep(h, state[0])


def tanh_step_backward(
    grad: State, saved: SavedStep, weights: Weights, grad_gates: Tensor, grad_recurrent: Tensor
) -> State:
    """dL/da = dL/dh' - dL/dh' h'^2."""
    torch.addcmul(grad[0], grad[0] * saved.h, saved.h, value=-1, out=grad_gates)
    return (matmul.mm(grad_gates, weights.hh),)


def relu_step(gates: Tensor, state: State, weights: Weights, out: Tensor | None) -> tuple[State, SavedStep]:
    """H' = max(a, 0)."""
    sums = matmul.addmm(gates, state[0], weights.hh.T, out=gates)
    h = torch.clamp(sums, min=0, out=sums if out is None else out)
    return (h,), SavedStep(h, state[0])


def relu_step_backward(
    grad: State, saved: SavedStep, weights: Weights, grad_gates: Tensor, grad_recurrent: Tensor
) -> State:
    """dL/da = dL/dh' where h' > 0: a product with its sign, which is quicker than a choice per number."""
    torch.sign(saved.h, out=grad_gates).mul_(grad[0])
    return (matmul.mm(grad_gates, weights.hh),)


RNN = {
    "tanh": Recurrence(tanh_step, tanh_step_backward),
    "relu": Recurrence(relu_step, relu_step_backward),
}


@kernel(rnn_step)
class RNNStepKernel:
    """One step."""

    @staticmethod
    def forward(
        x: Tensor, state: State, weights: Weights, nonlinearity: Nonlinearity = "tanh"
    ) -> tuple[State, Any]:
        return one_step(RNN[nonlinearity], x, state, weights)

    @staticmethod
    def backward(grad: State, saved: Any, *, wanted: tuple[Any, ...] | None = None) -> Any:
        return one_step_backward(grad, saved, wanted)


@kernel(rnn)
class RNNKernel:
    """Whole sequences, with all products that need not wait for a state out of the loop."""

    @staticmethod
    def forward(
        x: Tensor,
        state: State,
        weights: AllWeights,
        lengths: Tensor | None,
        masks: Sequence[Tensor],
        nonlinearity: Nonlinearity = "tanh",
        keep: bool = True,
    ) -> tuple[Any, Any]:
        return read(RNN[nonlinearity], x, state, weights, lengths, masks, keep=keep)

    @staticmethod
    def backward(grads: Any, saved: Any, *, wanted: tuple[Any, ...] | None = None) -> Any:
        return read_backward(grads, saved, wanted)
