"""LogSoftmax: numbers to the logarithms of probabilities."""

from __future__ import annotations

from torch import Tensor

from ds_core.activations.softmax import Softmax
from ds_core.functional.softmax import log_softmax, log_softmax_backward


class LogSoftmax(Softmax):
    """Takes the logarithm of the softmax, without ever taking that of a rounded 0.

    y_i = x_i - log sum_j exp(x_j),   dL/dx_i = g_i - exp(y_i) sum_j g_j

    Args:
        dim: the dimension along which the probabilities sum to 1; None as in :class:`Softmax`.

    Shape:
        any -> the same.

    Raises:
        TypeError: if x is not floating point.
        IndexError: if x has no dimension ``dim``.

    Source: Goodfellow, Bengio, Courville, Deep Learning (2016), section 6.2.2.3.
    """

    def function(self, x: Tensor, dim: int) -> Tensor:
        return log_softmax(x, dim)

    def function_backward(self, grad: Tensor, y: Tensor, dim: int) -> Tensor:
        return log_softmax_backward(grad, y, dim)
