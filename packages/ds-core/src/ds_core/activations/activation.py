"""Activation: what all element-by-element functions share."""

from __future__ import annotations

from torch import Tensor

from ds_core.checks import check_floating
from ds_core.module import Module


class Activation(Module):
    """Applies y = f(x) to every number; the gradient is g f'(x).

    A subclass gives ``function`` and ``function_backward``, and says whether the derivative is easier to
    write from the output y (as for tanh: 1 - y^2) or from the input x.

    Args:
        inplace: writes the result over the input, which saves one tensor of its size.

    Shape:
        any -> the same.

    Raises:
        TypeError: if x is not floating point.
    """

    from_output = False  # what backward needs: the output (True) or the input (False)

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def function(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def function_backward(self, grad: Tensor, kept: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        check_floating(self, x)
        y = self.function(x)
        if self.from_output:
            self.save(y)
        else:
            self.save(x.clone() if self.inplace else x)
        return x.copy_(y) if self.inplace else y

    def backward(self, grad: Tensor) -> Tensor | None:
        (kept,) = self.saved()
        return self.function_backward(grad, kept) if self.input_grad else None

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""
