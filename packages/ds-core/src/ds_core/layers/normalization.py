"""Normalization: what layer, root-mean-square, group and batch norm share."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.checks import check_dtype, check_floating
from ds_core.functional.normalization import Statistics, normalize, normalize_backward
from ds_core.initializers import Init, initialize
from ds_core.module import InputGrad, Module, Parameter


class Normalization(Module):
    """Base of the norms: mean 0 and variance 1 over some dimensions, then a learned scale and shift.

    n = (x - mean(x)) / sqrt(var(x) + eps),   y = n W + b

    With g = dL/dy and h = g W:   dL/dW = sum of g n,   dL/db = sum of g,
    dL/dx = (h - mean(h) - n mean(h n)) / sqrt(var(x) + eps)

    A subclass says in ``arrange`` how to view its input so that means run over whole dimensions
    (``mean_dims``) and W and b are constant along whole dimensions (``sum_dims``), for which they have size 1
    when viewed as ``broadcast_shape``.
    """

    centre = True  # whether the mean is subtracted
    mean_dims: tuple[int, ...]
    sum_dims: tuple[int, ...]
    broadcast_shape: tuple[int, ...]
    eps: float | None
    weight: Tensor | None
    bias: Tensor | None

    def arrange(self, x: Tensor) -> Tensor:
        """Checks the shape of x and views it with the dimensions that the subclass declares."""
        raise NotImplementedError

    def make_parameters(
        self,
        shape: tuple[int, ...],
        *,
        weight: bool,
        bias: bool,
        init: Init | None,
        generator: torch.Generator | None,
    ) -> None:
        """Makes W, ones unless ``init`` says otherwise, and b, zeros; None for what is not wanted."""
        self.parameter_shape = shape
        self.register_parameter("weight", Parameter(torch.empty(shape)) if weight else None)
        if self.weight is not None:
            initialize(self.weight, init or "ones", generator)
        self.register_parameter("bias", Parameter(torch.zeros(shape)) if weight and bias else None)

    def normalize(self, x: Tensor) -> tuple[Tensor, Statistics]:
        """Returns y and the statistics of an arranged x, and saves what backward needs."""
        eps = torch.finfo(x.dtype).eps if self.eps is None else self.eps
        weight, bias = self._fitted(self.weight), self._fitted(self.bias)
        y, normalized, statistics = normalize(x, self.mean_dims, eps, weight, bias, self.centre)
        self.save(normalized, statistics.rstd)
        return y, statistics

    def forward(self, x: Tensor) -> Tensor:
        y, _ = self.normalize(self.checked(x))
        return y.reshape(x.shape)

    def backward(self, grad: Tensor) -> InputGrad:
        normalized, rstd = self.saved()
        shape, grad = grad.shape, grad.reshape(normalized.shape)
        product = grad * normalized
        self.add_grad("weight", lambda: product.sum(self.sum_dims).view(self.parameter_shape))
        self.add_grad("bias", lambda: grad.sum(self.sum_dims).view(self.parameter_shape))
        if not self.input_grad:
            return None
        weight = self._fitted(self.weight)
        grad_x = normalize_backward(grad, product, normalized, rstd, self.mean_dims, weight, self.centre)
        return grad_x.reshape(shape)

    def checked(self, x: Tensor) -> Tensor:
        """Returns the arranged x once its shape and type are found right."""
        arranged = self.arrange(x)
        if self.weight is None:
            check_floating(self, x)
        else:
            check_dtype(self, x, self.weight.dtype)
        return arranged

    def _fitted(self, parameter: Tensor | None) -> Tensor | None:
        return None if parameter is None else parameter.view(self.broadcast_shape)
