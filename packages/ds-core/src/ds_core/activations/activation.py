"""Activation: what all element-by-element functions share."""

from __future__ import annotations

from torch import Tensor

from ds_core.checks import check_floating
from ds_core.module import InputGrad, Module


class Activation(Module):
    """Applies y = f(x) to every number; the gradient is g f'(x).

    A subclass gives ``function``, which returns y together with what ``function_backward`` will need: the
    input x, the output y where f' is easier to write from it (as for tanh: 1 - y^2), or f'(x) itself.

    Args:
        inplace: the result also replaces the input, unless our stack records: another layer's backward may
            still need the input. It saves neither time nor memory here.

    Shape:
        any -> the same.

    Raises:
        TypeError: if x is not floating point.
    """

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def function(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns f(x) and what :meth:`function_backward` needs."""
        raise NotImplementedError

    def function_backward(self, grad: Tensor, kept: Tensor) -> Tensor:
        """Returns g f'(x)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        check_floating(self, x)
        inplace = self.inplace and not self.recording
        y, kept = self.function(x.clone() if inplace else x)
        self.save(kept)
        return x.copy_(y) if inplace else y

    def backward(self, grad: Tensor) -> InputGrad:
        (kept,) = self.saved()
        return self.function_backward(grad, kept) if self.input_grad else None

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""
