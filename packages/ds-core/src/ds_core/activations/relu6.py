"""ReLU6: the rectifier with a ceiling."""

from __future__ import annotations

from typing import final

from torch import Tensor

from ds_core import functional
from ds_core.activations.activation import Activation
from ds_core.kernels import dispatch
from ds_core.module import InputGrad

relu6, relu6_backward = dispatch(functional.relu6)


@final
class ReLU6(Activation):
    """Cuts off below 0 and above 6.

    y = min(max(x, 0), 6),   dL/dx = g where 0 < y < 6, else 0

    Source: Krizhevsky, Convolutional Deep Belief Networks on CIFAR-10 (2010).
    """

    def forward(self, input: Tensor) -> Tensor:
        y, saved = relu6(self.checked(input))
        self.save(saved)
        return self.placed(y, input)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return relu6_backward(grad, saved) if self.input_grad else None
