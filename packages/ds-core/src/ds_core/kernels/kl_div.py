"""Kullback-Leibler divergence on a processor: in blocks."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.functional.kl_div import kl_div
from ds_core.functional.reduction import reduce
from ds_core.kernels import kernel
from ds_core.kernels.elementary import bits, blocks, exp


@kernel(kl_div)
class KLDivKernel:
    """Autograd does not record here, so log 0 may be taken: where t is 0 its bits are dropped."""

    @staticmethod
    def forward(
        x: Tensor, target: Tensor, log_target: bool = False, reduction: str = "mean"
    ) -> tuple[Tensor, tuple[Tensor, bool, float]]:
        t = exp(target) if log_target else target
        values = torch.empty_like(t)
        for x_, t_, target_, out in blocks(x, t, target, values):
            log_t = target_ if log_target else torch.log(t_, out=out)
            torch.sub(log_t, x_, out=out).mul_(t_)
            bits(out).mul_(torch.ne(bits(t_), 0, out=torch.empty_like(bits(t_))))  # 0 log 0 = 0
        loss, share = reduce(values, reduction)
        return loss, (target, log_target, share)

    @staticmethod
    def backward(grad: Tensor | float, saved: tuple[Tensor, bool, float]) -> Tensor:
        target, log_target, share = saved
        scale = -grad * share
        return exp(target).mul_(scale) if log_target else target * scale
