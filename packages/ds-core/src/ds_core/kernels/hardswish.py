"""Hardswish on a processor: signs in place of choices."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.hardswish import hardswish
from ds_core.kernels import kernel


@kernel(hardswish)
class HardswishKernel:
    """y = x h; the slope is h + x / 6 between the bounds."""

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return _gate(x, torch.empty_like(x)).mul_(x), x

    @staticmethod
    def backward(grad: Tensor, saved: Tensor) -> Tensor:
        h = _gate(saved, torch.empty_like(saved))
        inside = (1 - h).mul_(h).sign_()  # 1 between the bounds, else 0
        return h.addcmul_(inside, saved.clamp(-3, 3), value=1 / 6).mul_(grad)


def _gate(x: Tensor, out: Tensor) -> Tensor:
    """Returns h."""
    return torch.add(x, 3, out=out).clamp_(0, 6).mul_(1 / 6)
