"""RMSNorm: the features of each example divided by their root mean square."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack, final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.checks import check_trailing
from ds_core.initializers import Start
from ds_core.kernels import HALF, dispatch
from ds_core.layers.normalization import TrailingNorm
from ds_core.module import InputGrad

rms_norm, rms_norm_backward = dispatch(functional.rms_norm, half=torch.float32)


@final
class RMSNorm(TrailingNorm):
    """Divides the features of each example by their root mean square: layer norm without the centring.

    y = n w,   n = x / sqrt(mean x^2 + eps)

    Args:
        normalized_shape: size of the last dimension, or sizes of the last few, averaged over together.
        eps: added to the mean square; None for the distance from 1 to the next number of the type it is
            computed in, which is float32 for half precision.
        elementwise_affine: whether w is learned; if not, it is 1.
        device: of the parameter.
        dtype: of the parameter.
        options: ``init``, the initial w (ones if None), and ``generator``, see :class:`Start`.

    Shape:
        x ``(..., *normalized_shape)`` -> the same; weight ``normalized_shape``.

    Raises:
        ValueError: if x does not end in ``normalized_shape``.
        TypeError: if x has another dtype than the weight.

    Source: Zhang, Sennrich, Root Mean Square Layer Normalization (2019), equation 4.
    """

    usual_eps = None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Unpack[Start],
    ) -> None:
        self.eps = eps
        sizes = self.set_shape(normalized_shape)
        self.make_parameters(sizes, elementwise_affine, device, dtype, bias=False, **options)

    def forward(self, x: Tensor) -> Tensor:
        check_trailing(self, x, self.normalized_shape, self.weight)
        computed_in = torch.float32 if x.dtype in HALF else x.dtype
        eps = torch.finfo(computed_in).eps if self.eps is None else self.eps
        y, saved = rms_norm(x, self.weight, eps, self.dims, keep=self.recording)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        grad_x, grad_weight = rms_norm_backward(grad, saved, wanted=self.wants("input", "weight"))
        self.add_grad("weight", grad_weight)
        return grad_x
