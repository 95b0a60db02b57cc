"""PReLU: the leaky rectifier that learns how much to let through."""

from __future__ import annotations

import torch
from torch import Tensor

from ds_core.checks import check_dtype, shape
from ds_core.functional.activations import leaky_relu, leaky_relu_backward
from ds_core.module import InputGrad, Module, Parameter


class PReLU(Module):
    """Scales what is below zero by a learned number, one for all or one per channel.

    y = x where x > 0, else w x;   dL/dx = g where x > 0, else w g;   dL/dw = sum of g min(x, 0)

    Args:
        num_parameters: 1, or the number of channels C.
        init: where w starts.

    Shape:
        x any, or ``(N, C, ...)`` for one w per channel -> y the same; weight ``(num_parameters,)``.

    Raises:
        ValueError: if ``num_parameters`` is neither 1 nor the number of channels.
        TypeError: if x has another dtype than the weight.

    Source: He et al., Delving Deep into Rectifiers (2015), equation 1.
    """

    weight: Tensor

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        self.weight = Parameter(torch.full((num_parameters,), init))

    def forward(self, x: Tensor) -> Tensor:
        check_dtype(self, x, self.weight.dtype)
        channels = x.shape[1] if x.dim() > 1 else 1
        if len(self.weight) not in (1, channels):
            raise ValueError(
                f"{self.label()}: expected {len(self.weight)} channels in dimension 1, got {shape(x)}"
            )
        self.save(x)
        return leaky_relu(x, self._weight_like(x))

    def backward(self, grad: Tensor) -> InputGrad:
        (x,) = self.saved()
        weight = self._weight_like(x)
        self.add_grad("weight", lambda: (x.clamp(max=0) * grad).sum_to_size(weight.shape).view(-1))
        return leaky_relu_backward(grad, x, weight) if self.input_grad else None

    def _weight_like(self, x: Tensor) -> Tensor:
        """Views w so that it broadcasts with ``(N, C, ...)``: ``(C, 1, ...)``, or as a single number."""
        return self.weight.view(-1, *[1] * (x.dim() - 2)) if len(self.weight) > 1 else self.weight.view(())

    def extra_repr(self) -> str:
        return f"num_parameters={len(self.weight)}"
