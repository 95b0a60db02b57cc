"""The LSTM, fast: one tanh for all four gates, in memory made once, and the slopes of many steps at once."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from ds_core.kernels import kernel, matmul
from torch import Tensor

from ds_rnn.functional.lstm import lstm, lstm_step
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
    """Takes a step. sigmoid(x) = 1/2 + 1/2 tanh(x/2), so one tanh of all sums will do, all but g's halved."""
    h_before, c_before = state
    halves = _halves if type(sums) is Tensor else _halves.__wrapped__  # what is kept has real numbers
    scale, shift = halves(sums.shape[1] // 4, sums.dtype, sums.device)
    matmul.addmm(sums, h_before, weights.hh.T, out=sums)  # (B, 4 H)
    gates = torch.addcmul(shift, sums.mul_(scale).tanh_(), scale, out=sums)
    i, f, g, o = gates.chunk(4, dim=1)
    c = torch.addcmul(f * c_before, i, g)
    tanh_c = torch.tanh(c, out=room)
    if weights.hr is None:
        h = torch.mul(o, tanh_c, out=out)
    else:
        h = matmul.linear(o * tanh_c, weights.hr, out=out)
    return h, c


def slopes(taken: Taken, grad_gates: Tensor, _: None) -> tuple[Tensor, ...]:
    """Returns by what dL/dm and dL/dc' are multiplied, with each slope as a difference: u (1 - s) = u - u s.

    sum of i:  dL/dc' (i - i i) g        sum of f:  dL/dc' (f - f f) c
    sum of g:  dL/dc' (i - i g g)        sum of o:  dL/dm (o - o o) tanh(c')
    on the way back:  dL/dc' gets dL/dm (o - o tanh(c')^2),   dL/dc = dL/dc' f
    """
    i, f, g, o = taken.gates.chunk(4, dim=1)
    tanh_c, c_before = taken.room, in_rows([c for _, c in taken.before])
    of_gates = grad_gates.unflatten(1, (4, -1))  # (rows, 4, H)
    of_i, of_f, of_g, of_o = of_gates.unbind(1)
    torch.addcmul(i, i, i, value=-1, out=of_i).mul_(g)
    torch.addcmul(f, f, f, value=-1, out=of_f).mul_(c_before)
    torch.addcmul(i, torch.mul(i, g, out=of_g), g, value=-1, out=of_g)
    torch.addcmul(o, o, o, value=-1, out=of_o).mul_(tanh_c)
    through = o * tanh_c
    torch.addcmul(o, through, tanh_c, value=-1, out=through)
    return grad_gates, of_gates[:, :3], of_o, through, f


def step_backward(
    grad: State, weights: Weights, sums: Tensor, of_ifg: Tensor, of_o: Tensor, through: Tensor, f: Tensor
) -> State:
    """Takes the step back: each gate's slope times what comes back to it."""
    grad_h, grad_c = grad
    grad_m = grad_h if weights.hr is None else matmul.mm(grad_h, weights.hr)
    grad_c = torch.addcmul(grad_c, grad_m, through)
    of_ifg.mul_(grad_c.unsqueeze(1))
    of_o.mul_(grad_m)
    return matmul.mm(sums, weights.hh), grad_c * f


@lru_cache(maxsize=16)
def _halves(size: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Returns 1/2, 1/2, 1, 1/2 and 1/2, 1/2, 0, 1/2, each for as many numbers as a gate has, ``(4 H,)``."""
    with torch.inference_mode(False), torch.no_grad():
        rows = torch.tensor([[0.5, 0.5, 1, 0.5], [0.5, 0.5, 0, 0.5]], dtype=dtype, device=device)
        scale, shift = rows.repeat_interleave(size, dim=1)
    return scale, shift


LSTM = Recurrence(step, slopes, step_backward)


@kernel(lstm_step)
class LSTMStepKernel:
    """One step."""

    @staticmethod
    def forward(x: Tensor, state: State, weights: Weights) -> tuple[State, Any]:
        return one_step(LSTM, x, state, weights)

    @staticmethod
    def backward(grad: State, saved: Any, *, wanted: tuple[Any, ...] | None = None) -> Any:
        return one_step_backward(grad, saved, wanted)


@kernel(lstm)
class LSTMKernel:
    """Whole sequences, with all products that need not wait for a state out of the loop."""

    @staticmethod
    def forward(*args: Any, keep: bool = True) -> tuple[Any, Any]:
        return read(LSTM, *args, keep=keep)

    @staticmethod
    def backward(grads: Any, saved: Any, *, wanted: tuple[Any, ...] | None = None) -> Any:
        return read_backward(grads, saved, wanted)
