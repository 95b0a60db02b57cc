"""Pooling by p-norms on a processor: sums of powers, one pixel of all windows after the other."""

from __future__ import annotations

from ds_core.kernels import kernel
from torch import Tensor

from ds_cnn.functional.lp_pool import Saved, lp_pool, root, root_slope
from ds_cnn.functional.regions import Windows, counts
from ds_cnn.kernels.avg_pool import window_sums, window_sums_backward
from ds_cnn.kernels.windows import batched


@kernel(lp_pool)
class LpPoolKernel:
    """Adds up shifted images of powers."""

    @staticmethod
    def forward(x: Tensor, windows: Windows, p: float) -> tuple[Tensor, Saved]:
        powers = window_sums(batched(x**p), windows)
        y = root(powers.mul_(_scale(x, windows)), p)
        y = y.reshape(*x.shape[:-2], *y.shape[2:])
        return y, Saved(x, y, windows, p)

    @staticmethod
    def backward(grad: Tensor, saved: Saved) -> Tensor:
        x, y, windows, p = saved
        share = root_slope(y, p).mul_(grad).mul_(_scale(x, windows))
        grad_powers = window_sums_backward(batched(share), windows, batched(x).shape)
        return grad_powers.reshape(x.shape).mul_(x ** (p - 1))


def _scale(x: Tensor, windows: Windows) -> Tensor:
    """Returns by how much each window is smaller than a whole one."""
    return windows.kernel[0] * windows.kernel[1] / counts(windows, x, True)
