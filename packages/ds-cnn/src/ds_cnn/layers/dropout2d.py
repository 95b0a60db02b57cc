"""Dropout2d: whole channels dropped at once."""

from __future__ import annotations

import torch
from ds_core import Dropout
from ds_core.checks import check_floating, shape
from ds_core.functional.dropout import dropout_backward
from ds_core.random_state import generator_now
from torch import Tensor


class Dropout2d(Dropout):
    """Sets each channel of each image to zero with probability p in training; the identity in eval mode.

    y = x m / (1 - p) with m = 0 or 1 at random for each channel,   dL/dx = g m / (1 - p)

    Neighbouring pixels of a channel say much the same, so dropping them one by one would hide little.

    Args:
        p: the probability of dropping a channel.
        inplace: the result also replaces the input, unless our stack records.
        generator: source of the random numbers; None for torch's global one, which is also used in a step
            that is compiled.

    Shape:
        x ``(N, C, H, W)`` or ``(C, H, W)`` -> the same.

    Raises:
        ValueError: if p is not between 0 and 1, or x has other dimensions.
        TypeError: if x is not floating point.

    Source: Tompson et al., Efficient Object Localization Using Convolutional Networks (2015), section 3.2.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() not in (3, 4):
            raise ValueError(
                f"{self.label()}: expected input of shape (N, C, H, W) or (C, H, W), got {shape(x)}"
            )
        check_floating(self, x)
        if not self.training or self.p == 0:
            self.save(None)
            return x
        # Drawn in float32 whatever x is: one seed drops the same channels at every precision.
        generator = generator_now(self.generator)
        drawn = torch.rand((*x.shape[:-2], 1, 1), generator=generator, device=x.device)
        kept = drawn >= self.p
        self.save(kept)
        y = dropout_backward(x, kept, self.p)
        return x.copy_(y) if self.inplace and not self.recording else y
