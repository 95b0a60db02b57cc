"""ReLU6: the rectifier with a ceiling."""

from __future__ import annotations

from torch import Tensor

from ds_core.activations.activation import Activation
from ds_core.functional.activations import clip, clip_backward


class ReLU6(Activation):
    """Cuts off below 0 and above 6.

    y = min(max(x, 0), 6),   dL/dx = g where 0 < y < 6, else 0

    Source: Krizhevsky, Convolutional Deep Belief Networks on CIFAR-10 (2010).
    """

    def function(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = clip(x, 0, 6)
        return y, y

    def function_backward(self, grad: Tensor, kept: Tensor) -> Tensor:
        return clip_backward(grad, kept, 0, 6)
