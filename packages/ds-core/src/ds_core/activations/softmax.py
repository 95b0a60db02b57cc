"""Softmax: numbers to probabilities."""

from __future__ import annotations

import warnings

from torch import Tensor

from ds_core.checks import check_floating, shape
from ds_core.functional.softmax import softmax, softmax_backward
from ds_core.module import InputGrad, Module


class Softmax(Module):
    """Turns the numbers along a dimension into probabilities.

    y_i = exp(x_i) / sum_j exp(x_j),   dL/dx_i = y_i (g_i - sum_j g_j y_j)

    Args:
        dim: the dimension that sums to 1. None, torch.nn's old default, takes 0 for inputs of 0, 1 or 3
            dimensions and 1 for others, with a warning.

    Shape:
        any -> the same.

    Raises:
        TypeError: if x is not floating point.
        IndexError: if x has no dimension ``dim``.

    Source: Goodfellow, Bengio, Courville, Deep Learning (2016), section 6.2.2.3.
    """

    def __init__(self, dim: int | None = None) -> None:
        self.dim = dim

    def function(self, x: Tensor, dim: int) -> Tensor:
        """Returns y."""
        return softmax(x, dim)

    def function_backward(self, grad: Tensor, y: Tensor, dim: int) -> Tensor:
        """Returns dL/dx."""
        return softmax_backward(grad, y, dim)

    def forward(self, x: Tensor) -> Tensor:
        check_floating(self, x)
        dim = self._choose_dim(x)
        y = self.function(x, dim)
        self.save(y, dim)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        y, dim = self.saved()
        return self.function_backward(grad, y, dim) if self.input_grad else None

    def _choose_dim(self, x: Tensor) -> int:
        if self.dim is None:
            dim = 0 if x.dim() in (0, 1, 3) else 1
            warnings.warn(
                f"{self.label()}: no dim given; took {dim}, as torch.nn does for {x.dim()} dimensions",
                stacklevel=4,
            )
            return dim
        dims = max(x.dim(), 1)
        if not -dims <= self.dim < dims:
            raise IndexError(
                f"{self.label()}: expected an input with a dimension {self.dim}, got shape {shape(x)}"
            )
        return self.dim

    def extra_repr(self) -> str:
        return "" if self.dim is None else f"dim={self.dim}"
