"""Attention's scores by a small network, fast: the largest tensors are written over."""

from __future__ import annotations

import torch
from ds_core.kernels import kernel, matmul
from ds_core.kernels.elementary import softmax, softmax_backward
from torch import Tensor

from ds_rnn.functional.attention import SavedAdditive, additive_scores, attend, dot_scores


@kernel(additive_scores)
class AdditiveScoresKernel:
    """Two tensors of the size (B, T, S, A) in all, one of them forward."""

    @staticmethod
    def forward(query: Tensor, keys: Tensor, v: Tensor) -> tuple[Tensor, SavedAdditive]:
        f = query[:, :, None] + keys[:, None]  # (B, T, S, A)
        torch.tanh(f, out=f)
        scores = matmul.mm(f.view(-1, len(v)), v[:, None])
        return scores.view(f.shape[:-1]), SavedAdditive(f, v)

    @staticmethod
    def backward(
        grad: Tensor, saved: SavedAdditive, *, wanted: tuple[bool, ...] | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        f, v = saved
        grad_v = None
        if wanted is None or wanted[2]:
            grad_v = matmul.mm(grad.reshape(1, -1), f.view(-1, len(v))).view(-1)
        d = f * f
        torch.addcmul(v, d, v, value=-1, out=d).mul_(grad[..., None])  # v (1 - f^2)
        return d.sum(2), d.sum(1), grad_v


@kernel(dot_scores)
class DotScoresKernel:
    """Batched products by the table in force."""

    @staticmethod
    def forward(query: Tensor, keys: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        return matmul.bmm(query, keys.mT), (query, keys)

    @staticmethod
    def backward(grad: Tensor, saved: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        query, keys = saved
        return matmul.bmm(grad, keys), matmul.bmm(grad.mT, query)


@kernel(attend)
class AttendKernel:
    """Softmax in the memory of the scores that padding was hidden from, and batched products."""

    @staticmethod
    def forward(
        scores: Tensor, value: Tensor, hidden: Tensor | None = None
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        if hidden is None:
            a = softmax(scores)
        else:
            s = scores.masked_fill(hidden[:, None], -torch.inf)
            a = softmax(s, hidden_to_zero=True, out=s)
        return (matmul.bmm(a, value), a), (a, value)

    @staticmethod
    def backward(grad: tuple[Tensor, Tensor | None], saved: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        a, value = saved
        grad_context, grad_weights = grad
        grad_a = matmul.bmm(grad_context, value.mT)
        if grad_weights is not None:
            grad_a += grad_weights
        return softmax_backward(grad_a, a), matmul.bmm(a.mT, grad_context)
