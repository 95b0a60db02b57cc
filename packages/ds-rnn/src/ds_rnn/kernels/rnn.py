"""The plain recurrent network, fast: the sums of all steps in memory made once, and many slopes at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ds_core.kernels import kernel, matmul
from ds_core.kernels.elementary import number
from torch import Tensor

from ds_rnn.functional.recurrence import AllWeights, State, Weights
from ds_rnn.functional.rnn import Nonlinearity, rnn, rnn_step
from ds_rnn.kernels.recurrence import Recurrence, Taken, one_step, one_step_backward, read, read_backward


def tanh_step(sums: Tensor, state: State, weights: Weights, *_: Tensor | None) -> State:
    """H' = tanh(a), in the memory of a."""
    return (matmul.addmm(sums, state[0], weights.hh.T, out=sums).tanh_(),)


def tanh_slopes(taken: Taken, grad_gates: Tensor, _: None) -> tuple[Tensor, ...]:
    """1 - h'^2."""
    h = taken.gates
    return (torch.mul(h, h, out=grad_gates).neg_().add_(number(1, h)),)


def relu_step(sums: Tensor, state: State, weights: Weights, *_: Tensor | None) -> State:
    """H' = max(a, 0), in the memory of a."""
    return (matmul.addmm(sums, state[0], weights.hh.T, out=sums).clamp_(min=0),)


def relu_slopes(taken: Taken, grad_gates: Tensor, _: None) -> tuple[Tensor, ...]:
    """1 where h' > 0: a sign, which is quicker than a choice per number."""
    return (torch.sign(taken.gates, out=grad_gates),)


def step_backward(grad: State, weights: Weights, grad_gates: Tensor) -> State:
    """dL/da = dL/dh' times the slope."""
    return (matmul.mm(grad_gates.mul_(grad[0]), weights.hh),)


RNN = {
    "tanh": Recurrence(tanh_step, tanh_slopes, step_backward, gated=False),
    "relu": Recurrence(relu_step, relu_slopes, step_backward, gated=False),
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
