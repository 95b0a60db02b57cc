"""Dropout: noise that keeps units from relying on one another."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.checks import check_floating
from ds_core.kernels import dispatch
from ds_core.module import InputGrad, Module
from ds_core.random_state import generator_now

dropout, dropout_backward = dispatch(functional.dropout)


class DropoutBase(Module):
    """Base of the layers that drop numbers at random: options and checks.

    Raises:
        ValueError: if p is not between 0 and 1.
    """

    def __init__(
        self, p: float = 0.5, inplace: bool = False, *, generator: torch.Generator | None = None
    ) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: expected a probability p from 0 to 1, got {p}")
        self.p = p
        self.inplace = inplace
        self.generator = generator

    def extra_repr(self) -> str:
        return f"p={self.p}" + (", inplace=True" if self.inplace else "")


@final
class Dropout(DropoutBase):
    """Sets each number to zero with probability p in training; the identity in eval mode.

    y = x m / (1 - p) with m = 0 or 1 at random,   dL/dx = g m / (1 - p)

    Args:
        p: the probability of dropping a number.
        inplace: the result also replaces the input, unless our stack records: another layer's backward may
            still need the input.
        generator: source of the random numbers; None for torch's global one, which is also used in a step
            that is compiled.

    Shape:
        any -> the same.

    Raises:
        ValueError: if p is not between 0 and 1.
        TypeError: if x is not floating point.

    Source: Srivastava et al., Dropout: A Simple Way to Prevent Neural Networks from Overfitting (2014).
    """

    def forward(self, input: Tensor) -> Tensor:
        check_floating(self, input)
        y, saved = input, None
        if self.training and self.p > 0:
            y, saved = dropout(input, draw_kept(input.shape, self.p, input.device, self.generator), self.p)
        self.save(saved)
        return input.copy_(y) if self.inplace and y is not input and not self.recording else y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        if not self.input_grad:
            return None
        return grad if saved is None else dropout_backward(grad, saved)


def draw_kept(
    shape: tuple[int, ...], p: float, device: torch.device, generator: torch.Generator | None
) -> Tensor:
    """Draws which numbers are kept: boolean, True with the probability 1 - p.

    In float32 whatever the input is: one seed drops the same numbers at every precision.
    """
    return torch.rand(shape, device=device, dtype=torch.float32, **generator_now(generator)) >= p
