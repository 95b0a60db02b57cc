"""AlphaDropout: noise for networks of SELU, whose mean and variance it leaves alone."""

from __future__ import annotations

from typing import final

from torch import Tensor

from ds_core import functional
from ds_core.checks import check_floating, shape
from ds_core.kernels import dispatch
from ds_core.layers.dropout import DropoutBase, draw_kept
from ds_core.module import InputGrad

alpha_dropout, alpha_dropout_backward = dispatch(functional.alpha_dropout)


@final
class AlphaDropout(DropoutBase):
    """Sets each number to SELU's lower end with probability p in training; the identity in eval mode.

    y = a x + b where kept, else a l + b;   l = -1.7580993408473766,   a = 1 / sqrt((1 - p) (1 + p l^2)),
    b = -a p l;   dL/dx = a g where kept, else 0

    Numbers of mean 0 and variance 1 keep both, which SELU needs to go on doing so.

    Args:
        p: the probability of dropping a number.
        inplace: the result also replaces the input, unless our stack records.
        generator: source of the random numbers; None for torch's global one, which is also used in a step
            that is compiled.

    Shape:
        any -> the same.

    Raises:
        ValueError: if p is not between 0 and 1.
        TypeError: if x is not floating point.

    Source: Klambauer et al., Self-Normalizing Neural Networks (2017), section "New Dropout Technique".
    """

    def forward(self, input: Tensor) -> Tensor:
        check_floating(self, input)
        y, saved = input, None
        if self.training and self.p > 0:
            kept = draw_kept(input.shape, self.p, input.device, self.generator)
            y, saved = alpha_dropout(input, kept, self.p)
        self.save(saved)
        return input.copy_(y) if self.inplace and y is not input and not self.recording else y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        if not self.input_grad:
            return None
        return grad if saved is None else alpha_dropout_backward(grad, saved)


@final
class FeatureAlphaDropout(DropoutBase):
    """Sets each channel to SELU's lower end with probability p in training; the identity in eval mode.

    y = a x + b where a channel is kept, else a l + b, with the numbers of :class:`AlphaDropout`;
    dL/dx = a g where kept, else 0

    Args:
        p: the probability of dropping a channel.
        inplace: the result also replaces the input, unless our stack records.
        generator: source of the random numbers; None for torch's global one, which is also used in a step
            that is compiled.

    Shape:
        x ``(N, C, ...)`` -> the same.

    Raises:
        ValueError: if p is not between 0 and 1, or x has fewer dimensions.
        TypeError: if x is not floating point.

    Source: as AlphaDropout; for whole channels Tompson et al., Efficient Object Localization Using
    Convolutional Networks (2015), section 3.2.
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.dim() < 2:
            raise ValueError(f"{self.label()}: expected input of shape (N, C, ...), got {shape(input)}")
        check_floating(self, input)
        y, saved = input, None
        if self.training and self.p > 0:
            channels = (*input.shape[:2], *[1] * (input.dim() - 2))
            kept = draw_kept(channels, self.p, input.device, self.generator)
            y, saved = alpha_dropout(input, kept, self.p)
        self.save(saved)
        return input.copy_(y) if self.inplace and y is not input and not self.recording else y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        if not self.input_grad:
            return None
        return grad if saved is None else alpha_dropout_backward(grad, saved)
