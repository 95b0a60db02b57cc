"""The GRU, fast: gates in memory made once, one sigmoid for two, each slope as a difference."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from ds_core.kernels import kernel, matmul
from ds_core.kernels.elementary import sigmoid, tanh
from torch import Tensor

from ds_rnn.functional.gru import gru, gru_step
from ds_rnn.functional.recurrence import State, Weights
from ds_rnn.kernels.recurrence import Recurrence, one_step, one_step_backward, read, read_backward


class SavedStep(NamedTuple):
    """What the backward of a step needs."""

    gates: tuple[Tensor, ...]  # r, z, n, (B, H) each
    memory: Tensor  # (B, H), W_hn h + b_hn, which r gates
    h_before: Tensor  # (B, H)


def step(gates: Tensor, state: State, weights: Weights, out: Tensor | None) -> tuple[State, SavedStep]:
    """Takes a step, in the memory of what the input says."""
    (h_before,) = state
    size = h_before.shape[1]
    recurrent = matmul.linear(h_before, weights.hh, weights.bias_hh)  # (B, 3 H)
    (rz, n), (m_rz, memory) = (x.split([2 * size, size], dim=1) for x in (gates, recurrent))
    rz += m_rz
    r, z = sigmoid(rz, out=rz).split(size, dim=1)
    n.addcmul_(r, memory)
    tanh(n, out=n)
    h = torch.lerp(n, h_before, z, out=out)
    return (h,), SavedStep((r, z, n), memory.clone(), h_before)  # what r and z got is needed no more


def step_backward(
    grad: State, saved: SavedStep, weights: Weights, grad_gates: Tensor, grad_recurrent: Tensor
) -> State:
    """Takes the step back, with each slope written as a difference: u (1 - s) = u - u s."""
    (grad_h,) = grad
    r, z, n = saved.gates
    size = n.shape[1]
    grad_r, grad_z, grad_n = grad_gates.chunk(3, dim=1)
    grad_h_z = grad_h * z
    through_n = grad_h - grad_h_z  # dL/dn
    torch.addcmul(through_n, through_n * n, n, value=-1, out=grad_n)
    through_z = (saved.h_before - n).mul_(grad_h_z)  # dL/dz z
    torch.addcmul(through_z, through_z, z, value=-1, out=grad_z)
    grad_memory = torch.mul(grad_n, r, out=grad_recurrent[:, 2 * size :])
    through_r = grad_memory * saved.memory  # dL/dr r
    torch.addcmul(through_r, through_r, r, value=-1, out=grad_r)
    grad_recurrent[:, : 2 * size] = grad_gates[:, : 2 * size]
    return (matmul.addmm(grad_h_z, grad_recurrent, weights.hh, out=grad_h_z),)


GRU = Recurrence(step, step_backward, two_gradients=True)


@kernel(gru_step)
class GRUStepKernel:
    """One step."""

    @staticmethod
    def forward(x: Tensor, state: State, weights: Weights) -> tuple[State, Any]:
        return one_step(GRU, x, state, weights)

    @staticmethod
    def backward(grad: State, saved: Any, *, wanted: tuple[Any, ...] | None = None) -> Any:
        return one_step_backward(grad, saved, wanted)


@kernel(gru)
class GRUKernel:
    """Whole sequences, with all products that need not wait for a state out of the loop."""

    @staticmethod
    def forward(*args: Any, keep: bool = True) -> tuple[Any, Any]:
        return read(GRU, *args, keep=keep)

    @staticmethod
    def backward(grads: Any, saved: Any, *, wanted: tuple[Any, ...] | None = None) -> Any:
        return read_backward(grads, saved, wanted)
