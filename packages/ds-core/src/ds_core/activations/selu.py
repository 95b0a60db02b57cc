"""SELU: the ELU that keeps mean 0 and variance 1 from layer to layer."""

from __future__ import annotations

from torch import Tensor

from ds_core.activations.activation import Activation
from ds_core.functional.activations import elu, elu_backward

ALPHA = 1.6732632423543772848170429916717
SCALE = 1.0507009873554804934193349852946


class SELU(Activation):
    """Is an ELU with the two constants under which mean 0 and variance 1 reproduce themselves.

    y = c x where x > 0, else c a (exp(x) - 1);   dL/dx = c g where x > 0, else c a exp(x) g

    a = 1.6732632423543772, c = 1.0507009873554805

    Source: Klambauer et al., Self-Normalizing Neural Networks (2017), equation 14.
    """

    def function(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return elu(x, ALPHA, SCALE), x

    def function_backward(self, grad: Tensor, kept: Tensor) -> Tensor:
        return elu_backward(grad, kept, ALPHA, SCALE)
