"""Group norm in whatever order numbers lie: by rows, or by sums over the positions of each channel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ds_core.functional.group_norm import group_norm
from ds_core.kernels import branch, kernel
from ds_core.kernels.elementary import BLOCK, number, parts
from ds_core.kernels.layer_norm import like
from ds_core.kernels.normalization import by_position, less, normalize, normalize_backward, scale_shift

ROOM = 4 * BLOCK  # numbers of a block; smaller ones would stay in a nearer cache, but mean more operations


@kernel(group_norm, branches=("channels first", "channels last, one block", "channels last, several blocks"))
class GroupNormKernel:
    """Where the channels of a pixel lie apart, those of a group are one row, normed as by layer norm.

    Where they lie side by side, as convolutions leave them, x is viewed as ``(N, C, positions)`` and gone
    through some examples at a time; a group's sum is that of the sums of its channels.

    There x is kept, not what it was normalised to.
    """

    @staticmethod
    def forward(
        x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Any]:
        positions = by_position(x)
        if not _channels_last(positions):
            branch("GroupNormKernel: channels first")
            rows = positions.reshape(x.shape[0], groups, x.shape[1] // groups, positions.shape[2])
            y, by = normalize(rows, (2, 3), eps, _grouped(weight, groups), _grouped(bias, groups))
            return y.view(x.shape), (by.n, None, by.rstd, weight, bias)
        y, means, rstds = torch.empty_like(positions), [], []
        for some in _parts(positions):
            part = positions[some]
            mean = _group_mean(part.sum(2, keepdim=True), groups, part)  # (n, G, 1)
            middle = _by_channel(mean, part)  # (n, C, 1)
            centred = less(part, middle)
            var = _group_mean(centred.mul_(centred).sum(2, keepdim=True), groups, part)
            rstd = torch.rsqrt(var + number(eps, var))
            scale = _times(_by_channel(rstd, part), weight)
            shift = -middle * scale if bias is None else bias.view(1, -1, 1) - middle * scale
            scale_shift(part, scale, shift, out=y[some])
            means.append(mean)
            rstds.append(rstd)
        return y.view(x.shape), (x, torch.cat(means), torch.cat(rstds), weight, bias)

    @staticmethod
    def backward(grad: Tensor, saved: Any, *, wanted: tuple[bool, bool, bool] | None = None) -> Any:
        x, mean, rstd, weight, bias = saved
        wanted = wanted or (True, weight is not None, bias is not None)
        if mean is None:  # x is n, in rows
            scale = _grouped(weight, x.shape[1])
            grads = normalize_backward(grad.reshape(x.shape), x, rstd, (2, 3), scale, wanted)
            return like(grads.x, grad), like(grads.weight, weight), like(grads.bias, bias)
        positions, g, totals = by_position(x), by_position(grad), []
        grad_x = torch.empty_like(g)
        for some in _parts(positions):
            part, given = positions[some], g[some]
            middle, steep = _by_channel(mean[some], part), _by_channel(rstd[some], part)  # (n, C, 1)
            total_n = less(part, middle).mul_(given).sum(2, keepdim=True).mul_(steep)
            total = torch.stack([given.sum(2, keepdim=True), total_n])  # of g, and of g n: (2, n, C, 1)
            totals.append(total.sum(1))
            of_h = _group_mean(_times(total, weight), mean.shape[1], part)  # with h = g w
            of_one, of_n = _by_channel(of_h, part)  # the means of h and of h n, in a group
            of_x = (of_n * steep).mul_(steep).neg_()  # rstd (h - mean h - n mean(h n)), n = (x - mean) rstd
            shift = torch.addcmul(of_one * steep, middle, of_x).neg_()
            scale_shift(given, _times(steep, weight), shift, out=grad_x[some]).addcmul_(part, of_x)
        grad_bias, grad_weight = torch.stack(totals).sum(0)
        return (
            grad_x.view(grad.shape) if wanted[0] else None,
            like(grad_weight, weight) if wanted[1] else None,
            like(grad_bias, bias) if wanted[2] else None,
        )


def _channels_last(positions: Tensor) -> bool:
    """Says whether the channels lie side by side, and not the positions."""
    return positions.stride(1) == 1 and positions.shape[2] > 1 and positions.numel() > 0


def _parts(positions: Tensor) -> list[slice]:
    """Cuts a batch into blocks."""
    blocks = parts(len(positions), positions[0].numel(), ROOM)
    branch(f"GroupNormKernel: channels last, {'several blocks' if len(blocks) > 1 else 'one block'}")
    return blocks


def _grouped(parameter: Tensor | None, groups: int) -> Tensor | None:
    """Views a parameter ``(C,)`` as ``(1, G, C / G, 1)``."""
    return None if parameter is None else parameter.view(1, groups, -1, 1)


def _times(of_channels: Tensor, weight: Tensor | None) -> Tensor:
    """Multiplies ``(n, C, 1)`` by a weight for each channel."""
    return of_channels if weight is None else of_channels * weight.view(1, -1, 1)


def _group_mean(of_channels: Tensor, groups: int, part: Tensor) -> Tensor:
    """Returns the mean of each group of a part, ``(..., G, 1)``, from its channels' sums ``(..., C, 1)``."""
    of_group = of_channels.reshape(*of_channels.shape[:-2], groups, -1).sum(-1, keepdim=True)
    return of_group / (part.shape[1] // groups * part.shape[2])


def _by_channel(of_groups: Tensor, part: Tensor) -> Tensor:
    """Repeats ``(..., G, 1)`` for the channels of each group: ``(..., C, 1)``."""
    *leading, groups, _ = of_groups.shape
    return of_groups.expand(*leading, groups, part.shape[1] // groups).reshape(*leading, -1, 1)
