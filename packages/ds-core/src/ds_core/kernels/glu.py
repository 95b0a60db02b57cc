"""GLU on a processor: one power of two, and both halves of the gradient in one tensor."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.glu import Saved, glu
from ds_core.kernels import kernel
from ds_core.kernels.elementary import sigmoid


@kernel(glu)
class GLUKernel:
    """The gradient of b from that of a: g a s (1 - s)."""

    @staticmethod
    def forward(x: Tensor, dim: int = -1) -> tuple[Tensor, Saved]:
        a, b = x.chunk(2, dim)
        s = sigmoid(b)
        return a * s, Saved(a, s, dim)

    @staticmethod
    def backward(grad: Tensor, saved: Saved) -> Tensor:
        a, s, dim = saved
        grad_a = grad * s
        grad_b = (1 - s).mul_(grad_a).mul_(a)
        return torch.cat([grad_a, grad_b], dim)
