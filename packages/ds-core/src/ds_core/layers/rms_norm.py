"""RMSNorm: the features of each example divided by their root mean square."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ds_core.checks import shape
from ds_core.initializers import Init
from ds_core.layers.normalization import Normalization


class _RowNorm(Normalization):
    """Normalises the trailing dimensions together, viewed as the rows of a matrix ``(rows, features)``."""

    mean_dims = (1,)
    sum_dims = (0,)

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None,
        elementwise_affine: bool,
        bias: bool,
        init: Init | None,
        generator: torch.Generator | None,
    ) -> None:
        if isinstance(normalized_shape, int):
            normalized_shape = (normalized_shape,)
        self.normalized_shape = tuple(normalized_shape)
        if not self.normalized_shape:
            raise ValueError(f"{type(self).__name__}: expected at least one size in normalized_shape, got ()")
        self.eps = eps
        self.broadcast_shape = (1, math.prod(self.normalized_shape))
        self.make_parameters(
            self.normalized_shape, weight=elementwise_affine, bias=bias, init=init, generator=generator
        )

    def arrange(self, x: Tensor) -> Tensor:
        leading = x.dim() - len(self.normalized_shape)
        if leading < 0 or x.shape[leading:] != self.normalized_shape:
            raise ValueError(
                f"{self.label()}: expected trailing dimensions {self.normalized_shape}, "
                f"got input of shape {shape(x)}"
            )
        return x.reshape(math.prod(x.shape[:leading]), self.broadcast_shape[1])  # (rows, features)

    def extra_repr(self) -> str:
        sizes = self.normalized_shape
        text = str(sizes[0] if len(sizes) == 1 else sizes)
        return text if self.weight is not None else f"{text}, elementwise_affine=False"


class RMSNorm(_RowNorm):
    """Divides the features of each example by their root mean square: layer norm without the centring.

    n = x / sqrt(mean(x^2) + eps),   y = n W

    With g = dL/dy and h = g W:   dL/dW = sum of g n,   dL/dx = (h - n mean(h n)) / sqrt(mean(x^2) + eps)

    Args:
        normalized_shape: size of the last dimension, or sizes of the last few, averaged over together.
        eps: added to the mean square; None for the distance from 1 to the next number of x's dtype.
        elementwise_affine: whether W is learned; if not, it is 1.
        init: how W starts: a name or function of :mod:`ds_core.initializers`; None for ones.
        generator: source of the initial values; None for torch's global one.

    Shape:
        x ``(..., *normalized_shape)`` -> the same; weight ``normalized_shape``.

    Raises:
        ValueError: if x does not end in ``normalized_shape``.
        TypeError: if x has another dtype than the weight.

    Source: Zhang, Sennrich, Root Mean Square Layer Normalization (2019), equation 4.
    """

    centre = False

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        init: Init | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(normalized_shape, eps, elementwise_affine, False, init, generator)
