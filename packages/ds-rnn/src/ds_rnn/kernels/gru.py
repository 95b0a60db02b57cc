"""The GRU, fast: one tanh for two gates, in memory made once, and the slopes of many steps at once."""

from __future__ import annotations

from typing import Any

import torch
from ds_core.kernels import kernel, matmul
from ds_core.kernels.elementary import number
from torch import Tensor

from ds_rnn.functional.gru import gru, gru_step
from ds_rnn.functional.recurrence import State, Weights
from ds_rnn.kernels.recurrence import (
    Recurrence,
    Taken,
    in_rows,
    one_step,
    one_step_backward,
    read,
    read_backward,
)


def step(
    sums: Tensor, state: State, weights: Weights, out: Tensor | None = None, room: Tensor | None = None
) -> State:
    """Takes a step, in the memory of what the input says, with sigmoid(x) = 1/2 + 1/2 tanh(x/2).

    The room takes W_hn h + b_hn, which r gates.
    """
    (h_before,) = state
    size = h_before.shape[1]
    recurrent = matmul.linear(h_before, weights.hh, weights.bias_hh)  # (B, 3 H)
    (rz, n), (m_rz, memory) = (x.split([2 * size, size], dim=1) for x in (sums, recurrent))
    half = number(0.5, sums)
    r, z = rz.add_(m_rz).mul_(half).tanh_().mul_(half).add_(half).split(size, dim=1)
    torch.tanh(n.addcmul_(r, memory), out=n)
    if room is not None:
        room.copy_(memory)  # what r and z got is needed no more
    return (torch.lerp(n, h_before, z, out=out),)


def slopes(taken: Taken, grad_gates: Tensor, of_n: Tensor) -> tuple[Tensor, ...]:
    """Returns by what dL/dh' is multiplied, with each slope as a difference: u (1 - s) = u - u s.

    sum of n:  dL/dh' a,   a = (1 - z) (1 - n n)      what r gates, the memory:  dL/dh' a r
    sum of r:  dL/dh' a memory (r - r r)              sum of z:  dL/dh' (h - n) (z - z z)
    on the way back:  dL/dh gets dL/dh' z
    """
    r, z, n = taken.gates.chunk(3, dim=1)
    h_before = in_rows([h for (h,) in taken.before])
    of_gates = grad_gates.unflatten(1, (3, -1))  # (rows, 3, H)
    of_r, of_z, of_memory = of_gates.unbind(1)
    torch.mul(n, n, out=of_n).neg_().add_(number(1, n))
    of_n.addcmul_(of_n, z, value=-1)
    torch.sub(h_before, n, out=of_z).mul_(z)
    of_z.addcmul_(of_z, z, value=-1)
    torch.mul(of_n, r, out=of_memory)
    torch.mul(of_memory, taken.room, out=of_r)
    of_r.addcmul_(of_r, r, value=-1)
    return of_gates, of_n, grad_gates, z


def step_backward(
    grad: State, weights: Weights, of_gates: Tensor, of_n: Tensor, grad_gates: Tensor, z: Tensor
) -> State:
    """Takes the step back: each slope times what comes back."""
    (grad_h,) = grad
    of_gates.mul_(grad_h.unsqueeze(1))
    of_n.mul_(grad_h)
    grad_h_z = grad_h * z
    return (matmul.addmm(grad_h_z, grad_gates, weights.hh, out=grad_h_z),)


GRU = Recurrence(step, slopes, step_backward, two_gradients=True)


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
