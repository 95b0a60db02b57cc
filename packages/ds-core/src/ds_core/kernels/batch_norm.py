"""Batch norm in memory that is no longer needed."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ds_core.functional.batch_norm import batch_norm, frozen_batch_norm
from ds_core.kernels import branch, kernel
from ds_core.kernels.elementary import BLOCK, number, parts
from ds_core.kernels.layer_norm import like
from ds_core.kernels.normalization import by_position, less, scale_shift
from ds_core.kernels.remade import remember

ROOM = 4 * BLOCK  # numbers of a block; smaller ones would stay in a nearer cache, but mean more operations


@kernel(batch_norm, branches=("one block", "several blocks", "channels last", "channels first"))
class BatchNormKernel:
    """Views x as ``(N, C, positions)`` and takes its sums from blocks of images that stay in the cache.

    Of blocks b of n_b numbers:   mean = sum of n_b mean_b / n,
    n var = sum of (sum of (x - mean_b)^2 + n_b (mean_b - mean)^2)

    x is kept, not what it was normalised to.

    Source: Chan, Golub, LeVeque, Algorithms for Computing the Sample Variance (1983), equation 2.1.
    """

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, *, keep: bool = True
    ) -> tuple[tuple[Tensor, Tensor, Tensor], Any]:
        positions = by_position(x)
        blocks = _parts(positions)
        _note(positions, blocks)
        means, squares = [], []
        for part in _cut(positions, blocks):
            mean = part.mean((0, 2), keepdim=True)
            centred = less(part, mean)
            means.append(mean)
            squares.append(centred.mul_(centred).sum((0, 2), keepdim=True))
        mean, var = _joined(means, squares, blocks, positions)  # (1, C, 1)
        rstd = torch.rsqrt(var + number(eps, var))
        saved = x, mean, rstd, weight, bias
        y = _normalised(*saved)
        if keep:
            remember(y, partial(_normalised, *saved), x, weight, bias)
        return (y, mean.flatten(), var.flatten()), saved

    @staticmethod
    def backward(grad: Tensor, saved: Any, *, wanted: tuple[bool, bool, bool] | None = None) -> Any:
        x, mean, rstd, weight, bias = saved
        want_x, want_weight, want_bias = wanted or (True, weight is not None, bias is not None)
        positions, g = by_position(x), by_position(grad)
        blocks, count = _parts(positions), max(1, _count(positions))
        totals, totals_n = [], []  # of g and of g n
        for part, given in zip(_cut(positions, blocks), _cut(g, blocks), strict=True):
            totals.append(given.sum((0, 2), keepdim=True))
            if want_x or want_weight:
                totals_n.append(less(part, mean).mul_(given).sum((0, 2), keepdim=True))
        total = _sum(totals)
        grad_bias = like(total, bias) if want_bias else None
        if not totals_n:
            return None, None, grad_bias
        total_n = _sum(totals_n)
        if positions.shape[0] and positions.shape[2]:  # of no numbers, the deviation is NaN and the sum 0
            total_n *= rstd
        grad_weight = like(total_n, weight) if want_weight else None
        if not want_x:
            return None, grad_weight, grad_bias
        scale = rstd if weight is None else rstd * weight.view(1, -1, 1)
        share = scale / number(-count, scale)
        of_n = share * rstd * total_n
        shift = (share * total).addcmul_(mean, of_n, value=-1)
        grad_x = torch.empty_like(g)
        for part, given, out in _last_first(positions, g, grad_x, blocks=blocks):
            scale_shift(given, scale, shift, out=out).addcmul_(part, of_n)  # scale (g - mean g - n mean(g n))
        return grad_x.view(grad.shape), grad_weight, grad_bias


@kernel(frozen_batch_norm)
class FrozenBatchNormKernel:
    """One scale and one shift for each channel; keeps x, and normalises it only for the weight's gradient.

    Hint: ``trained`` says whether anybody will want that; if not, x is not kept.
    """

    @staticmethod
    def forward(
        x: Tensor,
        mean: Tensor,
        var: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
        *,
        trained: bool = True,
    ) -> tuple[Tensor, Any]:
        rstd = torch.rsqrt(var + number(eps, var))
        scale, shift = scale_and_shift(mean, rstd, weight, bias)
        positions = by_position(x)
        y = scale_shift(
            positions, scale.view(1, -1, 1), shift.view(1, -1, 1), out=torch.empty_like(positions)
        )
        return y.view(x.shape), (x if trained else None, mean, rstd, scale, weight, bias)

    @staticmethod
    def backward(grad: Tensor, saved: Any, *, wanted: tuple[bool, bool, bool] | None = None) -> Any:
        x, mean, rstd, scale, weight, bias = saved
        want_x, want_weight, want_bias = wanted or (True, weight is not None, bias is not None)
        g = by_position(grad)
        total = g.sum((0, 2)) if want_weight or want_bias else None
        grad_weight = None
        if want_weight and total is not None:  # sum of g n = (sum of g x - mean sum of g) rstd
            grad_weight = (g * by_position(x)).sum((0, 2)).sub_(mean * total).mul_(rstd)
        grad_x = g.mul(scale.view(1, -1, 1)).view(grad.shape) if want_x else None
        return grad_x, grad_weight, total if want_bias else None


def _normalised(x: Tensor, mean: Tensor, rstd: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """Returns n w + b; mean and rstd ``(1, C, 1)``."""
    positions = by_position(x)
    y = torch.empty_like(positions)
    scale, shift = scale_and_shift(mean, rstd, _by_channel(weight), _by_channel(bias))
    for part, out in _last_first(positions, y, blocks=_parts(positions)):
        scale_shift(part, scale, shift, out=out)
    return y.view(x.shape)


def scale_and_shift(
    mean: Tensor, rstd: Tensor, weight: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Returns s and t of y = s x + t, one number for each channel: rstd w and b - mean s."""
    scale = rstd if weight is None else rstd * weight
    return scale, -mean * scale if bias is None else torch.addcmul(bias, mean, scale, value=-1)


def _by_channel(numbers: Tensor | None) -> Tensor | None:
    """Views ``(C,)`` as ``(1, C, 1)``."""
    return None if numbers is None else numbers.view(1, -1, 1)


def _joined(
    means: list[Tensor], squares: list[Tensor], blocks: list[slice], positions: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns mean and variance of all blocks from their means and their sums of squared distances."""
    if len(blocks) == 1:
        return means[0], squares[0] / _count(positions)  # NaN of no numbers
    of_blocks = torch.cat(means)
    shares = torch.tensor([some.stop - some.start for some in blocks]).to(means[0]).view(-1, 1, 1)
    shares /= len(positions)
    mean = (of_blocks * shares).sum(0, keepdim=True)
    var = torch.cat(squares).sum(0, keepdim=True) / _count(positions)
    var += (of_blocks.sub_(mean).square_() * shares).sum(0, keepdim=True)
    return mean, var


def _sum(of_blocks: list[Tensor]) -> Tensor:
    """Adds up the sums of all blocks, of which there is at least one."""
    return of_blocks[0] if len(of_blocks) == 1 else torch.cat(of_blocks).sum(0, keepdim=True)


def _parts(positions: Tensor) -> list[slice]:
    """Cuts a batch into blocks, at least one."""
    n, channels, numbers = positions.shape
    return parts(n, channels * numbers, ROOM) or [slice(0, 0)]


def _cut(x: Tensor, blocks: list[slice]) -> list[Tensor]:
    """Views the blocks of a tensor."""
    return [x] if len(blocks) == 1 else [x[some] for some in blocks]


def _last_first(*tensors: Tensor, blocks: list[slice]) -> Iterator[tuple[Tensor, ...]]:
    """Views the same blocks of several tensors, the last ones first: they are still in the cache."""
    return zip(*(reversed(_cut(x, blocks)) for x in tensors), strict=True)


def _note(positions: Tensor, blocks: list[slice]) -> None:
    """Says which branches are taken."""
    branch(f"BatchNormKernel: {'several blocks' if len(blocks) > 1 else 'one block'}")
    branch(f"BatchNormKernel: channels {'last' if positions.stride(1) == 1 else 'first'}")


def _count(positions: Tensor) -> int:
    """Counts the numbers of a channel."""
    return positions.shape[0] * positions.shape[2]
