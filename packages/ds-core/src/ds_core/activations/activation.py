"""Activation: what all element-by-element functions share."""

from __future__ import annotations

from torch import Tensor

from ds_core.checks import check_floating
from ds_core.module import Module


class Activation(Module):
    """Base of the layers that apply y = f(x) to every number; the gradient is g f'(x).

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

    def checked(self, input: Tensor) -> Tensor:
        """Checks that the input is floating point; returns it, or a copy if the result will replace it."""
        check_floating(self, input)
        return input.clone() if self.inplace and not self.recording else input

    def placed(self, y: Tensor, input: Tensor) -> Tensor:
        """Returns the result y, written over the input if it is to replace it."""
        return input.copy_(y) if self.inplace and not self.recording else y

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""
