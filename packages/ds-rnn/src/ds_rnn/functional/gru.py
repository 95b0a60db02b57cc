"""One step of the GRU: the forward with its backward below it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from ds_core.functional.activations import sigmoid, tanh
from ds_core.functional.elementary import reuse
from torch import Tensor

from ds_rnn.functional.recurrence import LoopWeights, Recurrence, State


class SavedGRU(NamedTuple):
    """What the backward of a step needs from its forward."""

    gates: tuple[Tensor, ...]  # r, z, n after their activations, (B, H) each
    memory: Tensor  # (B, H), W_hn h + b_hn, which r gates
    h_before: Tensor  # (B, H)


def gru_step(
    gates: Tensor, state: State, weights: LoopWeights, out: Tensor | None = None
) -> tuple[State, SavedGRU]:
    """Takes one step of the recurrence.

    With a = (a_r, a_z, a_n) from the input and m = (m_r, m_z, m_n) = W_hh h + b_hh from the state:
    r = sigmoid(a_r + m_r),   z = sigmoid(a_z + m_z),   n = tanh(a_n + r m_n),   h' = n + z (h - n)

    Args:
        gates: a, what the input says, its own bias included, ``(B, 3 H)``; written over.
        state: (h,), ``(B, H)``.
        weights: W_hh ``(3 H, H)``, b_hh ``(3 H,)`` or None.
        out: takes h', if given.

    Returns:
        The new state, and what the backward needs.

    Source: Cho et al., Learning Phrase Representations using RNN Encoder-Decoder (2014), section 2.3; r gates
    m_n and not h, as in version 1 of that paper and in torch.nn.
    """
    (h_before,) = state
    size = h_before.shape[1]
    if weights.bias_hh is None:
        recurrent = h_before @ weights.hh.T  # (B, 3H)
    else:
        recurrent = torch.addmm(weights.bias_hh, h_before, weights.hh.T)
    (a_rz, a_n), (m_rz, memory) = (x.split([2 * size, size], dim=1) for x in (gates, recurrent))
    rz = torch.add(a_rz, m_rz, out=reuse(a_rz))
    r, z = sigmoid(rz, out=reuse(rz)).split(size, dim=1)
    n = torch.add(a_n, r * memory, out=reuse(a_n))
    n = tanh(n, out=reuse(n))
    h = torch.lerp(n, h_before, z, out=out)
    return (h,), SavedGRU((r, z, n), memory, h_before)


def gru_step_backward(
    grad: State, saved: SavedGRU, weights: LoopWeights, grad_gates: Tensor, grad_recurrent: Tensor
) -> State:
    """Takes the step back.

    dL/da_n = dL/dh' (1 - z) (1 - n^2),   dL/da_z = dL/dh' (h - n) z (1 - z)
    dL/da_r = dL/da_n m_n r (1 - r),   dL/dm = (dL/da_r, dL/da_z, dL/da_n r),   dL/dh = dL/dh' z + dL/dm W_hh

    Args:
        grad: (dL/dh',), ``(B, H)``.
        saved: from the forward.
        weights: as in the forward.
        grad_gates: takes dL/da, ``(B, 3 H)``.
        grad_recurrent: takes dL/dm, ``(B, 3 H)``.

    Returns:
        (dL/dh,), the gradient of the state before.
    """
    (grad_h,) = grad
    r, z, n = saved.gates
    size = n.shape[1]
    grad_r, grad_z, grad_n = grad_gates.chunk(3, dim=1)
    grad_h_z = grad_h * z
    # Each slope is written as a difference: u (1 - s) = u - u s.
    through_n = grad_h - grad_h_z  # dL/dn
    torch.addcmul(through_n, through_n * n, n, value=-1, out=grad_n)
    through_z = (saved.h_before - n).mul_(grad_h_z)  # dL/dz z
    torch.addcmul(through_z, through_z, z, value=-1, out=grad_z)
    grad_memory = torch.mul(grad_n, r, out=grad_recurrent[:, 2 * size :])
    through_r = grad_memory * saved.memory  # dL/dr r
    torch.addcmul(through_r, through_r, r, value=-1, out=grad_r)
    grad_recurrent[:, : 2 * size] = grad_gates[:, : 2 * size]
    return (torch.addmm(grad_h_z, grad_recurrent, weights.hh),)


GRU = Recurrence(3, 1, gru_step, gru_step_backward, apart=True)
