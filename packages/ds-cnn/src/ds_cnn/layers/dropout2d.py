"""Dropout2d: whole channels dropped at once."""

from __future__ import annotations

from typing import final

from ds_core import InputGrad, functional
from ds_core.checks import check_floating, shape
from ds_core.kernels import dispatch
from ds_core.layers.dropout import DropoutBase, draw_kept
from torch import Tensor

dropout, dropout_backward = dispatch(functional.dropout)


@final
class Dropout2d(DropoutBase):
    """Sets each channel of each image to zero with probability p in training; the identity in eval mode.

    y = x m / (1 - p) with m = 0 or 1 at random for each channel,   dL/dx = g m / (1 - p)

    Neighbouring pixels of a channel say much the same, so dropping them one by one would hide little.

    Args:
        p: the probability of dropping a channel.
        inplace: the result also replaces the input, unless our stack records.
        generator: source of the random numbers; None for torch's global one, which is also used in a step
            that is compiled.

    Shape:
        x ``(N, C, H, W)`` or ``(C, H, W)`` -> the same. (torch.nn still takes three dimensions for
        ``(N, C, L)``, and says that it will not do so for long; for sequences there is Dropout1d.)

    Raises:
        ValueError: if p is not between 0 and 1, or x has other dimensions.
        TypeError: if x is not floating point.

    Source: Tompson et al., Efficient Object Localization Using Convolutional Networks (2015), section 3.2.
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() not in (3, 4):
            expected = "(N, C, H, W) or (C, H, W)"
            raise ValueError(f"{self.label()}: expected input of shape {expected}, got {shape(input)}")
        check_floating(self, input)
        y, saved = input, None
        if self.training and self.p > 0:
            channels = (*input.shape[:-2], 1, 1)
            y, saved = dropout(input, draw_kept(channels, self.p, input.device, self.generator), self.p)
        self.save(saved)
        return input.copy_(y) if self.inplace and y is not input and not self.recording else y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        if not self.input_grad:
            return None
        return grad if saved is None else dropout_backward(grad, saved)
