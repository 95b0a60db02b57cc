"""LayerNorm: the features of each example normalised by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack, final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.checks import check_trailing
from ds_core.initializers import Start
from ds_core.kernels import dispatch
from ds_core.layers.normalization import TrailingNorm
from ds_core.module import InputGrad

layer_norm, layer_norm_backward, layer_norm_second_backward = dispatch(
    functional.layer_norm, half=torch.float32, second=True
)


@final
class LayerNorm(TrailingNorm):
    """Normalises the features of each example by their own mean and variance.

    y = n w + b,   n = (x - mean x) / sqrt(var x + eps)

    Args:
        normalized_shape: size of the last dimension, or sizes of the last few, averaged over together.
        eps: added to the variance.
        elementwise_affine: whether w and b are learned; if not, they are 1 and 0.
        bias: whether b is learned.
        device, dtype: of the parameters.
        options: ``init``, the initial w (ones if None), and ``generator``, see :class:`Start`.

    Shape:
        x ``(..., *normalized_shape)`` -> the same; weight and bias ``normalized_shape``.

    Raises:
        ValueError: if x does not end in ``normalized_shape``.
        TypeError: if x has another dtype than the weight.

    Source: Ba, Kiros, Hinton, Layer Normalization (2016), equation 4.
    """

    eps: float

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Unpack[Start],
    ) -> None:
        self.eps = eps
        sizes = self.set_shape(normalized_shape)
        self.make_parameters(sizes, elementwise_affine, device, dtype, bias=bias, **options)

    def forward(self, input: Tensor) -> Tensor:
        check_trailing(self, input, self.normalized_shape, self.weight)
        y, saved = layer_norm(input, self.weight, self.bias, self.eps, self.dims, keep=self.recording)
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        wanted = self.wants("input", "weight", "bias")
        grad_x, grad_weight, grad_bias = layer_norm_backward(grad, saved, wanted=wanted)
        self.add_grad("weight", grad_weight)
        self.add_grad("bias", grad_bias)
        return grad_x

    def second_backward(self, grad_grad: Tensor) -> Tensor:
        grad, saved = self.kept_for_second()
        grad_of_grad, grad_x, grad_weight = layer_norm_second_backward(grad_grad, grad, saved)
        self.add_grad("weight", grad_weight)
        self.save_again(saved, grad_x=grad_x)
        return grad_of_grad

    def extra_repr(self) -> str:
        no_bias = self.weight is not None and self.bias is None
        return super().extra_repr() + (", bias=False" if no_bias else "")
