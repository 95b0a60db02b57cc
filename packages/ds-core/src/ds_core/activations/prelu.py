"""PReLU: the leaky rectifier that learns how much to let through."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor

from ds_core import functional
from ds_core.checks import check_dtype, shape
from ds_core.kernels import dispatch
from ds_core.module import InputGrad, Module, Parameter

prelu, prelu_backward = dispatch(functional.prelu, half=torch.float32)


@final
class PReLU(Module):
    """Scales what is below zero by a learned number, one for all or one per channel.

    y = x where x > 0, else w x;   dL/dx = g where x > 0, else w g;   dL/dw = sum of g min(x, 0)

    Args:
        num_parameters: 1, or the number of channels C.
        init: the initial w.
        device: of w.
        dtype: of w.

    Shape:
        x any, or ``(N, C, ...)`` for one w per channel -> y the same; weight ``(num_parameters,)``.

    Raises:
        ValueError: if ``num_parameters`` is neither 1 nor the number of channels.
        TypeError: if x has another dtype than the weight.

    Source: He et al., Delving Deep into Rectifiers (2015), equation 1.
    """

    weight: Tensor

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.weight = Parameter(torch.full((num_parameters,), init, device=device, dtype=dtype))

    def forward(self, input: Tensor) -> Tensor:
        check_dtype(self, input, self.weight.dtype)
        channels = input.shape[1] if input.dim() > 1 else 1
        if len(self.weight) not in (1, channels):
            raise ValueError(
                f"{self.label()}: expected {len(self.weight)} channels in dimension 1, got {shape(input)}"
            )
        view = (-1, *[1] * (input.dim() - 2)) if len(self.weight) > 1 else ()  # broadcasts with (N, C, ...)
        y, saved = prelu(input, self.weight.view(view))
        self.save(saved)
        return y

    def backward(self, grad: Tensor) -> InputGrad:
        (saved,) = self.saved()
        grad_x, grad_weight = prelu_backward(grad, saved, wanted=self.wants("input", "weight"))
        self.add_grad("weight", None if grad_weight is None else grad_weight.view(-1))
        return grad_x

    def _torch_options(self) -> dict[str, Any]:
        return {"num_parameters": len(self.weight)}  # the attribute is the method that counts all

    def extra_repr(self) -> str:
        return f"num_parameters={len(self.weight)}"
