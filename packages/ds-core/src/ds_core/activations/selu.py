"""SELU: the ELU that keeps mean 0 and variance 1 from layer to layer."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.activations.activation import Activation
from ds_core.kernels import dispatch
from ds_core.module import InputGrad

elu, elu_backward = dispatch(functional.elu, half=torch.float32)

ALPHA = 1.6732632423543772848170429916717
SCALE = 1.0507009873554804934193349852946


@final
class SELU(Activation):
    """Applies an ELU with the two constants under which mean 0 and variance 1 reproduce themselves.

    y = c x where x > 0, else c a (exp(x) - 1);   dL/dx = c g where x > 0, else c a exp(x) g

    a = 1.6732632423543772, c = 1.0507009873554805

    Source: Klambauer et al., Self-Normalizing Neural Networks (2017), equation 14.
    """

    def forward(self, input: Tensor) -> Tensor:
        y, saved = elu(self.checked(input), ALPHA, SCALE)
        self.save(saved)
        return self.placed(y, input)

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        return elu_backward(grad, saved) if self.input_grad else None
